"""Sockets, TLS, tasks and timers: carries bytes between devices and front-ends; knows no room above it."""
