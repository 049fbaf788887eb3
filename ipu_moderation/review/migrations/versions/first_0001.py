"""The first schema, and the triggers that guard the audit trail, the verdicts and every restriction.

Revision ID: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# What the triggers refuse, whoever asks: they hold for every program that opens the database, not for this one alone.
_SQLITE = (
    # REPLACE deletes without a delete trigger: an entry may only come in at the end.
    """CREATE TRIGGER audit_append BEFORE INSERT ON audit
       WHEN NEW.seq <> (SELECT coalesce(max(seq), 0) + 1 FROM audit)
       BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END""",
    "CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END",
    "CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END",
    """CREATE TRIGGER verdicts_no_update BEFORE UPDATE OF id, item, round, reviewer, labels, restrict, at, seconds, note_digest ON verdicts
       BEGIN SELECT RAISE(ABORT, 'a verdict stands as it was given'); END""",
    """CREATE TRIGGER verdicts_once_only BEFORE INSERT ON verdicts
       WHEN EXISTS (SELECT 1 FROM verdicts WHERE (item = NEW.item AND reviewer = NEW.reviewer) OR id = NEW.id)
       BEGIN SELECT RAISE(ABORT, 'a verdict stands as it was given'); END""",
    "CREATE TRIGGER verdicts_no_delete BEFORE DELETE ON verdicts BEGIN SELECT RAISE(ABORT, 'a verdict stands as it was given'); END",
    """CREATE TRIGGER items_restricted BEFORE UPDATE OF outcome ON items
       WHEN NEW.outcome = 'restricted' AND (SELECT count(*) FROM verdicts WHERE item = NEW.id AND restrict) < 2
       BEGIN SELECT RAISE(ABORT, 'a restriction needs the verdicts of two persons'); END""",
    """CREATE TRIGGER items_new BEFORE INSERT ON items WHEN NEW.outcome IS NOT NULL
       BEGIN SELECT RAISE(ABORT, 'an item begins without an outcome'); END""",
    "CREATE TRIGGER items_kept BEFORE DELETE ON items BEGIN SELECT RAISE(ABORT, 'items are kept; texts are deleted by purge and erase'); END",
)
_POSTGRES = (
    """CREATE FUNCTION ipu_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '%', TG_ARGV[0]; END $$""",
    """CREATE FUNCTION ipu_audit_append() RETURNS trigger LANGUAGE plpgsql AS $$
       BEGIN
         IF NEW.seq <> (SELECT coalesce(max(seq), 0) + 1 FROM audit) THEN RAISE EXCEPTION 'the audit trail is append-only'; END IF;
         RETURN NEW;
       END $$""",
    """CREATE FUNCTION ipu_restricted() RETURNS trigger LANGUAGE plpgsql AS $$
       BEGIN
         IF TG_OP = 'INSERT' AND NEW.outcome IS NOT NULL THEN RAISE EXCEPTION 'an item begins without an outcome'; END IF;
         IF NEW.outcome = 'restricted' AND (SELECT count(*) FROM verdicts WHERE item = NEW.id AND restrict) < 2
         THEN RAISE EXCEPTION 'a restriction needs the verdicts of two persons'; END IF;
         RETURN NEW;
       END $$""",
    "CREATE TRIGGER audit_append BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION ipu_audit_append()",
    "CREATE TRIGGER audit_kept BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION ipu_refuse('the audit trail is append-only')",
    "CREATE TRIGGER audit_whole BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION ipu_refuse('the audit trail is append-only')",
    """CREATE TRIGGER verdicts_kept BEFORE UPDATE OF id, item, round, reviewer, labels, "restrict", at, seconds, note_digest OR DELETE ON verdicts
       FOR EACH ROW EXECUTE FUNCTION ipu_refuse('a verdict stands as it was given')""",
    "CREATE TRIGGER verdicts_whole BEFORE TRUNCATE ON verdicts FOR EACH STATEMENT EXECUTE FUNCTION ipu_refuse('a verdict stands as it was given')",
    "CREATE TRIGGER items_restricted BEFORE INSERT OR UPDATE OF outcome ON items FOR EACH ROW EXECUTE FUNCTION ipu_restricted()",
    "CREATE TRIGGER items_kept BEFORE DELETE ON items FOR EACH ROW EXECUTE FUNCTION ipu_refuse('items are kept; texts are deleted by purge and erase')",
)


def upgrade() -> None:
    """From nothing."""
    op.create_table(
        "audit",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False),
        sa.Column("at", sa.String, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("item", sa.String, nullable=False),
        sa.Column("actor", sa.String, nullable=False),
        sa.Column("body", sa.String, nullable=False),
        sa.Column("previous", sa.String, nullable=False),
        sa.Column("hash", sa.String, nullable=False),
    )
    op.create_table(
        "bands",
        sa.Column("band", sa.BigInteger, primary_key=True),
        sa.Column("item", sa.String, primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "goldens",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("language", sa.String, nullable=False),
        sa.Column("skill", sa.String, nullable=False),
        sa.Column("text", sa.LargeBinary, nullable=False),
        sa.Column("labels", sa.String, nullable=False),
        sa.Column("restrict", sa.Boolean, nullable=False),
    )
    op.create_index("ix_goldens_skill", "goldens", ["skill"])
    op.create_table(
        "items",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("language", sa.String, nullable=False),
        sa.Column("skill", sa.String, nullable=False),
        sa.Column("category", sa.String),
        sa.Column("target", sa.String),
        sa.Column("tier", sa.String, nullable=False),
        sa.Column("action", sa.String, nullable=False),
        sa.Column("priority", sa.Float, nullable=False),
        sa.Column("policy", sa.String, nullable=False),
        sa.Column("evidence", sa.LargeBinary, nullable=False),
        sa.Column("graphic", sa.Boolean, nullable=False),
        sa.Column("received", sa.BigInteger, nullable=False),
        sa.Column("due", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("outcome", sa.String),
        sa.Column("decided", sa.BigInteger),
        sa.Column("round", sa.Integer, nullable=False),
        sa.Column("opinions", sa.Integer, nullable=False),
        sa.Column("seen", sa.Boolean, nullable=False),
        sa.Column("second", sa.Boolean, nullable=False),
        sa.Column("probability", sa.Float),
        sa.Column("copies", sa.Integer, nullable=False),
        sa.Column("wordings", sa.Integer, nullable=False),
        sa.Column("held_until", sa.BigInteger),
        sa.Column("leased_to", sa.String),
        sa.Column("lease_until", sa.BigInteger),
        sa.Column("claimed", sa.BigInteger),
        sa.Column("campaign", sa.String, nullable=False),
        sa.Column("signature", sa.LargeBinary),
        sa.Column("golden", sa.String),
        sa.CheckConstraint("action IN ('allow', 'review', 'hold')", name="items_action"),
        sa.CheckConstraint("outcome IN ('allowed', 'restricted')", name="items_outcome"),
        sa.CheckConstraint("state IN ('open', 'settled')", name="items_state"),
    )
    op.create_index("items_golden", "items", ["golden"], sqlite_where=sa.text("golden IS NOT NULL"), postgresql_where=sa.text("golden IS NOT NULL"))
    op.create_index("items_leased", "items", ["leased_to"], sqlite_where=sa.text("leased_to IS NOT NULL"), postgresql_where=sa.text("leased_to IS NOT NULL"))
    op.create_index("items_next", "items", ["skill", "seen", "due"], sqlite_where=sa.text("state = 'open'"), postgresql_where=sa.text("state = 'open'"))
    op.create_index("items_received", "items", ["received"])
    op.create_table(
        "meta",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("value", sa.String, nullable=False),
    )
    op.create_table(
        "tallies",
        sa.Column("day", sa.String, primary_key=True),
        sa.Column("language", sa.String, primary_key=True),
        sa.Column("action", sa.String, primary_key=True),
        sa.Column("category", sa.String, primary_key=True),
        sa.Column("policy", sa.String, primary_key=True),
        sa.Column("n", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "posts",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("item", sa.String, sa.ForeignKey("items.id"), nullable=False),
        sa.Column("external", sa.String),
        sa.Column("author", sa.String),
        sa.Column("source", sa.String, nullable=False),
        sa.Column("posted", sa.BigInteger),
        sa.Column("received", sa.BigInteger, nullable=False),
        sa.Column("held_until", sa.BigInteger),
        sa.Column("hold_open", sa.Boolean, nullable=False),
        sa.Column("salt", sa.LargeBinary),
        sa.Column("text", sa.LargeBinary),
        sa.Column("digest", sa.String, nullable=False),
        sa.Column("likeness", sa.String),
        sa.UniqueConstraint("external"),
    )
    op.create_index("ix_posts_author", "posts", ["author"])
    op.create_index("ix_posts_item", "posts", ["item"])
    op.create_index("posts_holding", "posts", ["held_until"], sqlite_where=sa.text("hold_open"), postgresql_where=sa.text("hold_open"))
    op.create_index("posts_likeness", "posts", ["likeness"], sqlite_where=sa.text("likeness IS NOT NULL"), postgresql_where=sa.text("likeness IS NOT NULL"))
    op.create_index("posts_received", "posts", ["received"])
    op.create_table(
        "verdicts",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("item", sa.String, sa.ForeignKey("items.id"), nullable=False),
        sa.Column("round", sa.Integer, nullable=False),
        sa.Column("reviewer", sa.String, nullable=False),
        sa.Column("labels", sa.String, nullable=False),
        sa.Column("restrict", sa.Boolean, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("seconds", sa.Float),
        sa.Column("note", sa.LargeBinary),
        sa.Column("note_salt", sa.LargeBinary),
        sa.Column("note_digest", sa.String),
        sa.UniqueConstraint("item", "reviewer", name="verdicts_once"),
        sa.CheckConstraint("length(trim(reviewer)) > 0", name="verdicts_person"),
    )
    op.create_index("verdicts_reviewer", "verdicts", ["reviewer", "at"])
    op.create_table(
        "appeals",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("item", sa.String, sa.ForeignKey("items.id"), nullable=False),
        sa.Column("post", sa.String, sa.ForeignKey("posts.id"), nullable=False),
        sa.Column("round", sa.Integer, nullable=False),
        sa.Column("party", sa.String, nullable=False),
        sa.Column("against", sa.String, nullable=False),
        sa.Column("grounds", sa.LargeBinary),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("result", sa.String),
        sa.Column("decided", sa.BigInteger),
        sa.UniqueConstraint("post", "party", name="appeals_once"),
    )
    op.create_index("ix_appeals_item", "appeals", ["item"])
    op.create_table(
        "notices",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("post", sa.String, sa.ForeignKey("posts.id"), nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("delivered", sa.BigInteger),
    )
    op.create_index("ix_notices_post", "notices", ["post"])
    op.create_index("notices_waiting", "notices", ["id"], sqlite_where=sa.text("delivered IS NULL"), postgresql_where=sa.text("delivered IS NULL"))
    for statement in _POSTGRES if op.get_bind().dialect.name == "postgresql" else _SQLITE:
        op.execute(sa.text(statement.replace(":", "\\:")))


def downgrade() -> None:
    """There is nothing before the first schema.

    Raises:
        RuntimeError: always; the audit trail is not thrown away by a command.
    """
    raise RuntimeError("the first schema cannot be taken back: remove the database yourself, if that is what you want")
