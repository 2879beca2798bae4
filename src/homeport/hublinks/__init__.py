"""Hubs that run elsewhere, reached over the network."""
