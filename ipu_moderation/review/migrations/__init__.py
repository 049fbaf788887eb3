"""Alembic migrations: one file a version of the schema, applied by `Store` when it opens an older database."""
