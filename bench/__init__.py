"""The load generator: what a registration, a message and a start cost, measured on loopback.

`python -m bench --help`. Never here: code that the server runs.
"""
