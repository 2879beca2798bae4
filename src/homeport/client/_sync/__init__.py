"""The clients, written once: `_sync` is made from here by `scripts/unasync.py`, `backend` alone is written twice."""
