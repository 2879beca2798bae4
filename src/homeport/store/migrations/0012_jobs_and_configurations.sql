-- Scheduled jobs with their part for each device, and configurations. `device_id` is a device id, or device/module.

CREATE TABLE scheduled_jobs (
    hub TEXT /*postgres COLLATE "C"*/ NOT NULL,
    job_id TEXT /*postgres COLLATE "C"*/ NOT NULL,
    job_type TEXT NOT NULL,
    status TEXT NOT NULL,
    start_at BIGINT NOT NULL,
    ended_at BIGINT,
    lease_owner TEXT,
    lease_until BIGINT NOT NULL,
    data JSON NOT NULL,
    PRIMARY KEY (hub, job_id)
);
CREATE INDEX scheduled_jobs_open ON scheduled_jobs (hub, start_at) WHERE ended_at IS NULL;
CREATE INDEX scheduled_jobs_ended ON scheduled_jobs (hub, ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE job_devices (
    hub TEXT /*postgres COLLATE "C"*/ NOT NULL,
    job_id TEXT /*postgres COLLATE "C"*/ NOT NULL,
    device_id TEXT /*postgres COLLATE "C"*/ NOT NULL,
    status TEXT NOT NULL,
    updated_at BIGINT NOT NULL,
    data JSON NOT NULL,
    PRIMARY KEY (hub, job_id, device_id)
);
CREATE INDEX job_devices_by_status ON job_devices (hub, job_id, status, device_id);

-- Configurations. A deleted one stays as a trace until no twin shows it any more.
CREATE TABLE configurations (
    hub TEXT /*postgres COLLATE "C"*/ NOT NULL,
    configuration_id TEXT /*postgres COLLATE "C"*/ NOT NULL,
    version BIGINT NOT NULL,
    is_deleted SMALLINT NOT NULL,
    data JSON NOT NULL,
    results JSON NOT NULL,
    PRIMARY KEY (hub, configuration_id)
);
