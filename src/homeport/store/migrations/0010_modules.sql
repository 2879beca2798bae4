-- Modules are identities like devices, under the id device/module.

ALTER TABLE devices ADD COLUMN is_module SMALLINT NOT NULL DEFAULT 0;
CREATE INDEX devices_modules ON devices (hub, device_id) WHERE is_module = 1;
