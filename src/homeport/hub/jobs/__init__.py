"""Scheduled jobs of one hub: kept, run, ended (contract hub.md 9)."""

from homeport.hub.jobs.ports import JobStore
from homeport.hub.jobs.runner import JobRunner
from homeport.hub.jobs.scheduled import ScheduledJobs

__all__ = ["JobRunner", "JobStore", "ScheduledJobs"]
