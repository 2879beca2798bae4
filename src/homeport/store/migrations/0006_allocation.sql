-- Which hub each device is assigned to or on its way to; how many each capped hub has; the operator's settings.

ALTER TABLE registrations ADD COLUMN home_key TEXT /*postgres COLLATE "C"*/;
UPDATE registrations SET home_key = LOWER(COALESCE(
    CASE WHEN is_open = 1 THEN data -> 'operation' -> 'target' ->> 'hub' END,
    data -> 'assignment' ->> 'hub'
));
-- No index: it differs from hub_key only while an operation is in progress, and those have one.

-- Only capped hubs have a row, so that others pay nothing. Triggers count, whoever writes registrations.
CREATE TABLE hub_counts (
    home_key TEXT /*postgres COLLATE "C"*/ PRIMARY KEY,
    devices BIGINT NOT NULL
);
/*sqlite CREATE TRIGGER hub_gains AFTER INSERT ON registrations WHEN NEW.home_key IS NOT NULL BEGIN UPDATE hub_counts SET devices = devices + 1 WHERE home_key = NEW.home_key; END*/;
/*sqlite CREATE TRIGGER hub_loses AFTER DELETE ON registrations WHEN OLD.home_key IS NOT NULL BEGIN UPDATE hub_counts SET devices = devices - 1 WHERE home_key = OLD.home_key; END*/;
/*sqlite CREATE TRIGGER hub_changes AFTER UPDATE OF home_key ON registrations WHEN NEW.home_key IS NOT OLD.home_key BEGIN UPDATE hub_counts SET devices = devices + CASE home_key WHEN NEW.home_key THEN 1 ELSE -1 END WHERE home_key IN (OLD.home_key, NEW.home_key); END*/;
/*postgres CREATE FUNCTION count_hub_devices() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF TG_OP = 'INSERT' THEN UPDATE hub_counts SET devices = devices + 1 WHERE home_key = NEW.home_key; ELSIF TG_OP = 'DELETE' THEN UPDATE hub_counts SET devices = devices - 1 WHERE home_key = OLD.home_key; ELSE PERFORM 1 FROM hub_counts WHERE home_key IN (OLD.home_key, NEW.home_key) ORDER BY home_key FOR UPDATE; UPDATE hub_counts SET devices = devices + CASE home_key WHEN NEW.home_key THEN 1 ELSE -1 END WHERE home_key IN (OLD.home_key, NEW.home_key); END IF; RETURN NULL; END $$*/;
/*postgres CREATE TRIGGER hub_gains AFTER INSERT ON registrations FOR EACH ROW WHEN (NEW.home_key IS NOT NULL) EXECUTE FUNCTION count_hub_devices()*/;
/*postgres CREATE TRIGGER hub_loses AFTER DELETE ON registrations FOR EACH ROW WHEN (OLD.home_key IS NOT NULL) EXECUTE FUNCTION count_hub_devices()*/;
/*postgres CREATE TRIGGER hub_changes AFTER UPDATE OF home_key ON registrations FOR EACH ROW WHEN (NEW.home_key IS DISTINCT FROM OLD.home_key) EXECUTE FUNCTION count_hub_devices()*/;

CREATE TABLE allocation_settings (
    one INTEGER PRIMARY KEY,
    data JSON NOT NULL
);
