"""Adapters: each joins the provisioning service to one transport, and is no more than an envelope."""
