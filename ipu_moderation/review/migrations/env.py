"""Run migrations on the connection that `Store` hands over, within its transaction."""

from __future__ import annotations

from alembic import context

from ipu_moderation.review.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=False)
context.run_migrations()
