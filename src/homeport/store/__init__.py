"""Everything that speaks SQL: the store ports of provisioning and hub over SQLite or PostgreSQL. Nothing is decided."""

from homeport.store.database import Database, DatabaseError, SchemaError, Transaction, Work
from homeport.store.settings import SettingsStore
from homeport.store.stores import Stores, open_database, open_stores

__all__ = [
    "Database",
    "DatabaseError",
    "SchemaError",
    "SettingsStore",
    "Stores",
    "Transaction",
    "Work",
    "open_database",
    "open_stores",
]
