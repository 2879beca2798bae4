"""Certificates for devices: who issues them and by which rules, and taking them back (contract dps.md 13.1)."""
