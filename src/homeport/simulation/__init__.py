"""Fleets of devices that do not exist: they enroll, register, live at their hub and tell how long each step took.

A user of `client/` and `proto/`. What a run looks like is a profile; how it is shown is the command line's business.
"""
