"""Proofs and keys: pure functions over values. No I/O, no clock, no randomness of its own lives here."""
