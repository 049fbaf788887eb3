"""The tables. Times are whole microseconds since 1970 (UTC); texts are bytes, since a post may hold what no database's text type can."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()

_OPEN = sa.text("state = 'open'")
_LEASED = sa.text("leased_to IS NOT NULL")
_HOLDING = sa.text("hold_open")

#: One decision of people: a post, or near copies of one.
items = sa.Table(
    "items",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("kind", sa.String, nullable=False),  # post | sample | golden
    sa.Column("language", sa.String, nullable=False),
    sa.Column("skill", sa.String, nullable=False),  # the base language that a reader needs
    sa.Column("category", sa.String),
    sa.Column("target", sa.String),
    sa.Column("tier", sa.String, nullable=False),
    sa.Column("action", sa.String, nullable=False),
    sa.Column("priority", sa.Float, nullable=False),
    sa.Column("policy", sa.String, nullable=False),
    sa.Column("evidence", sa.LargeBinary, nullable=False),  # JSON: reasons, versions, context, assessment without its text
    sa.Column("graphic", sa.Boolean, nullable=False),
    sa.Column("received", sa.BigInteger, nullable=False),
    sa.Column("due", sa.BigInteger, nullable=False),
    sa.Column("state", sa.String, nullable=False),  # open | settled
    sa.Column("outcome", sa.String),  # allowed | restricted
    sa.Column("decided", sa.BigInteger),
    sa.Column("round", sa.Integer, nullable=False),
    sa.Column("opinions", sa.Integer, nullable=False),  # in this round
    sa.Column("seen", sa.Boolean, nullable=False),  # somebody gave a verdict, in any round
    sa.Column("second", sa.Boolean, nullable=False),  # drawn for a second opinion whatever the first
    sa.Column("probability", sa.Float),  # of being drawn, for samples
    sa.Column("copies", sa.Integer, nullable=False),
    sa.Column("wordings", sa.Integer, nullable=False),  # different ones among the copies
    sa.Column("held_until", sa.BigInteger),
    sa.Column("leased_to", sa.String),
    sa.Column("lease_until", sa.BigInteger),
    sa.Column("claimed", sa.BigInteger),
    sa.Column("campaign", sa.String, nullable=False),  # the first item of the campaign
    sa.Column("signature", sa.LargeBinary),
    sa.Column("golden", sa.String),
    sa.CheckConstraint("state IN ('open', 'settled')", name="items_state"),
    sa.CheckConstraint("outcome IN ('allowed', 'restricted')", name="items_outcome"),
    sa.CheckConstraint("action IN ('allow', 'review', 'hold')", name="items_action"),
)
sa.Index("items_next", items.c.skill, items.c.seen, items.c.due, sqlite_where=_OPEN, postgresql_where=_OPEN)
sa.Index("items_leased", items.c.leased_to, sqlite_where=_LEASED, postgresql_where=_LEASED)
sa.Index("items_received", items.c.received)
sa.Index("items_golden", items.c.golden, sqlite_where=sa.text("golden IS NOT NULL"), postgresql_where=sa.text("golden IS NOT NULL"))

#: Posts, each within one item.
posts = sa.Table(
    "posts",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("item", sa.String, sa.ForeignKey("items.id"), nullable=False, index=True),
    sa.Column("external", sa.String, unique=True),  # the caller's name; null after erasure
    sa.Column("author", sa.String, index=True),  # keyed pseudonym; null when unknown or erased
    sa.Column("source", sa.String, nullable=False),
    sa.Column("posted", sa.BigInteger),
    sa.Column("received", sa.BigInteger, nullable=False),
    sa.Column("held_until", sa.BigInteger),
    sa.Column("hold_open", sa.Boolean, nullable=False),  # held, and neither decided nor marked as lapsed
    sa.Column("salt", sa.LargeBinary),
    sa.Column("text", sa.LargeBinary),
    sa.Column("digest", sa.String, nullable=False),
    sa.Column("likeness", sa.String),  # keyed hash of the match view; null for texts too short to be a campaign
)
sa.Index("posts_holding", posts.c.held_until, sqlite_where=_HOLDING, postgresql_where=_HOLDING)
sa.Index("posts_likeness", posts.c.likeness, sqlite_where=sa.text("likeness IS NOT NULL"), postgresql_where=sa.text("likeness IS NOT NULL"))
sa.Index("posts_received", posts.c.received)

#: What people said. Append-only but for the note, which retention and erasure empty.
verdicts = sa.Table(
    "verdicts",
    metadata,
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
sa.Index("verdicts_reviewer", verdicts.c.reviewer, verdicts.c.at)

appeals = sa.Table(
    "appeals",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("item", sa.String, sa.ForeignKey("items.id"), nullable=False, index=True),
    sa.Column("post", sa.String, sa.ForeignKey("posts.id"), nullable=False),
    sa.Column("round", sa.Integer, nullable=False),
    sa.Column("party", sa.String, nullable=False),
    sa.Column("against", sa.String, nullable=False),
    sa.Column("grounds", sa.LargeBinary),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("result", sa.String),  # upheld | overturned
    sa.Column("decided", sa.BigInteger),
    sa.UniqueConstraint("post", "party", name="appeals_once"),
)

#: Texts whose answer is known; a claim makes an item of one, for one reviewer.
goldens = sa.Table(
    "goldens",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("language", sa.String, nullable=False),
    sa.Column("skill", sa.String, nullable=False, index=True),
    sa.Column("text", sa.LargeBinary, nullable=False),
    sa.Column("labels", sa.String, nullable=False),
    sa.Column("restrict", sa.Boolean, nullable=False),
)

#: Bands of MinHash signatures: items that share one are candidates for one campaign.
bands = sa.Table(
    "bands",
    metadata,
    sa.Column("band", sa.BigInteger, primary_key=True),
    sa.Column("item", sa.String, primary_key=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

#: How many posts were decided how, by day: allowed posts leave nothing else.
tallies = sa.Table(
    "tallies",
    metadata,
    sa.Column("day", sa.String, primary_key=True),
    sa.Column("language", sa.String, primary_key=True),
    sa.Column("action", sa.String, primary_key=True),
    sa.Column("category", sa.String, primary_key=True),  # '' for none
    sa.Column("policy", sa.String, primary_key=True),
    sa.Column("n", sa.BigInteger, nullable=False),
)

notices = sa.Table(
    "notices",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("post", sa.String, sa.ForeignKey("posts.id"), nullable=False, index=True),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("delivered", sa.BigInteger),
)
sa.Index("notices_waiting", notices.c.id, sqlite_where=sa.text("delivered IS NULL"), postgresql_where=sa.text("delivered IS NULL"))

#: The chain: append-only by trigger.
audit = sa.Table(
    "audit",
    metadata,
    sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False),
    sa.Column("at", sa.String, nullable=False),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("item", sa.String, nullable=False),
    sa.Column("actor", sa.String, nullable=False),
    sa.Column("body", sa.String, nullable=False),
    sa.Column("previous", sa.String, nullable=False),
    sa.Column("hash", sa.String, nullable=False),
)

#: Facts about the database itself.
meta = sa.Table("meta", metadata, sa.Column("name", sa.String, primary_key=True), sa.Column("value", sa.String, nullable=False))
