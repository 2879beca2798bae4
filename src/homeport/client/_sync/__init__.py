# Made by scripts/unasync.py: change its twin in _async instead.
"""The clients, written once: `_sync` is made from here by `scripts/unasync.py`, `backend` alone is written twice."""
