"""`homeport demo`: the tutorial with real parts only, watched: enroll, start, verify, over load-balanced hubs."""

from homeport.cli.demo.command import demo

__all__ = ["demo"]
