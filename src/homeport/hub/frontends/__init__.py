"""The hub's front-ends: each puts the responder's answers into one protocol's envelope."""
