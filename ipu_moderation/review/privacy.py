"""Whose data is held, for how long, and how it is given out or deleted: keyed pseudonyms, retention, export and erasure of one person's data.

The audit trail names neither text nor author, so it stays valid whatever is deleted here.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from ipu_moderation.errors import InputError
from ipu_moderation.review.schema import appeals, bands, items, meta, notices, posts, verdicts
from ipu_moderation.review.store import Store, Work, moment

MIN_KEY = 16
"""Bytes; a shorter key could be guessed, and with it the pseudonyms."""


class Pseudonym(str):
    """A name that is a pseudonym already, as this package exported it; it is stored as it is."""

    __slots__ = ()


class Key:
    """The caller's secret, from which pseudonyms and draws are made. It is never stored."""

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        """Keep a secret.

        Raises:
            InputError: when it is too short.
        """
        if len(secret) < MIN_KEY:
            raise InputError(f"the key has {len(secret)} bytes, at least {MIN_KEY} are needed. Make one with: openssl rand -hex 32 > key")
        self._secret = secret

    @classmethod
    def read(cls, path: Path) -> Key:
        """The key in a file; white space around it does not count.

        Raises:
            InputError: when the file is missing or its key too short.
        """
        try:
            return cls(path.read_bytes().strip())
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}. Make a key with: openssl rand -hex 32 > {path}") from error

    def digest(self, purpose: str, value: str) -> bytes:
        """A keyed hash; hashes for different purposes have nothing in common."""
        return hmac.new(self._secret, f"{purpose}\0{value}".encode("utf-8", "surrogatepass"), hashlib.sha256).digest()

    def pseudonym(self, author: str) -> str:
        """The name under which an author is stored; the same author, the same name."""
        return str(author) if isinstance(author, Pseudonym) else "a-" + self.digest("author", author).hex()[:32]

    def draw(self, purpose: str, value: str) -> float:
        """A number in [0, 1) that nobody without the key can foresee, and that is the same when asked again."""
        return int.from_bytes(self.digest(purpose, value)[:7], "big") / (1 << 56)


def check_key(store: Store, key: Key) -> None:
    """Bind a fresh database to a key; later keys must be the same, or one author would have two names.

    Raises:
        InputError: when the database was begun with another key.
    """
    mark = key.digest("fingerprint", "").hex()[:16]
    with store.read() as connection:
        known = connection.execute(sa.select(meta.c.value).where(meta.c.name == "key")).scalar()
    if known is None:
        with store.write() as work:
            work.lock("submit")
            known = work.execute(sa.select(meta.c.value).where(meta.c.name == "key")).scalar()
            if known is None:
                work.execute(sa.insert(meta).values(name="key", value=mark))
                known = mark
    if known != mark:
        raise InputError(f"{store.shown}: begun with another key. With this one the same author would get a second pseudonym; use the key that the database was begun with")


def purge(store: Store, older_than: dt.timedelta) -> int:
    """Delete texts, salts and notes of what was settled longer ago than this, and give back how many posts that were.

    Posts that still wait for a decision are kept; the names of posts, their pseudonyms and the verdicts stay, and so does the chain.

    Raises:
        InputError: when the time is not longer than nothing.
    """
    if older_than <= dt.timedelta(0):
        raise InputError("--older-than must be longer than nothing, for example 180d")
    with store.write() as work:
        work.lock("submit")
        before = work.now - older_than // dt.timedelta(microseconds=1)
        done = sa.select(items.c.id).where(items.c.state == "settled", items.c.decided < before)
        n = work.execute(sa.update(posts).where(posts.c.item.in_(done), posts.c.text.is_not(None)).values(text=None, salt=None, likeness=None)).rowcount
        work.execute(sa.update(items).where(items.c.id.in_(done)).values(signature=None))
        work.execute(sa.delete(bands).where(bands.c.at < before))
        work.execute(sa.update(verdicts).where(verdicts.c.item.in_(done), verdicts.c.note.is_not(None)).values(note=None, note_salt=None))
        work.execute(sa.update(appeals).where(appeals.c.item.in_(done)).values(grounds=None))
        if n:
            work.note("purged", "", "system", posts=n, settled_before=moment(before).isoformat(timespec="seconds"))
    _vacate(store)
    return n


def _belonging(work_or_connection: Work | sa.Connection, pseudonym: str) -> list[Any]:
    return list(work_or_connection.execute(sa.select(posts).where(posts.c.author == pseudonym).order_by(posts.c.received)))


def person(store: Store, key: Key, author: str) -> dict[str, Any]:
    """Everything that is held about one author, ready for JSON, with the texts: it is theirs. Reviewers are not named. Source: GDPR art. 15."""
    pseudonym = key.pseudonym(author)
    with store.read() as connection:
        out = []
        for post in _belonging(connection, pseudonym):
            item = connection.execute(sa.select(items).where(items.c.id == post.item)).one()
            evidence = json.loads(item.evidence)
            own = connection.execute(sa.select(appeals).where(appeals.c.post == post.id, appeals.c.party == "author").order_by(appeals.c.id))
            told = connection.execute(sa.select(notices).where(notices.c.post == post.id).order_by(notices.c.id))
            given = connection.execute(sa.select(verdicts).where(verdicts.c.item == post.item).order_by(verdicts.c.id))
            out.append({
                "post": post.external,
                "text": None if post.text is None else post.text.decode("utf-8", "surrogatepass"),
                "posted": _iso(post.posted), "received": _iso(post.received), "source": post.source, "language": item.language,
                "machine": {"action": item.action, "category": item.category, "policy": item.policy, "reasons": evidence["reasons"],
                "versions": evidence["versions"], "context": evidence["context"]},
                "held_until": _iso(post.held_until), "outcome": item.outcome, "decided": _iso(item.decided),
                "opinions": [{"labels": json.loads(v.labels), "restrict": bool(v.restrict), "at": _iso(v.at)} for v in given],
                "appeals": [{"grounds": None if a.grounds is None else a.grounds.decode("utf-8", "surrogatepass"), "at": _iso(a.at), "result": a.result} for a in own],
                "notices": [{"kind": n.kind, "at": _iso(n.at), "delivered": _iso(n.delivered)} for n in told],
            })  # fmt: skip
    return {"pseudonym": pseudonym, "posts": out}


def erase(store: Store, key: Key, author: str) -> int:
    """Delete what is held about one author and give back how many posts that touched. Source: GDPR art. 17.

    Text, salt, the caller's name of the post and the pseudonym go; notes on items that hold nobody else's posts go too. What stays names nobody:
    that there was a post, how it was decided, and the chain. A post that still waits is settled by nobody and seen by no reviewer any more.
    """
    pseudonym = key.pseudonym(author)
    with store.write() as work:
        work.lock("submit")
        found = _belonging(work, pseudonym)
        for item in sorted({post.item for post in found}):
            work.execute(sa.select(items.c.id).where(items.c.id == item).with_for_update())
        ids = [post.id for post in found]
        for part in (ids[i : i + 500] for i in range(0, len(ids), 500)):
            work.execute(sa.update(posts).where(posts.c.id.in_(part)).values(text=None, salt=None, likeness=None, external=None, author=None, hold_open=False, held_until=None))
            work.execute(sa.update(appeals).where(appeals.c.post.in_(part), appeals.c.party == "author").values(grounds=None))
            work.execute(sa.update(notices).where(notices.c.post.in_(part), notices.c.delivered.is_(None)).values(delivered=work.now))
        for item in sorted({post.item for post in found}):
            others = work.execute(sa.select(posts.c.id).where(posts.c.item == item, posts.c.text.is_not(None)).limit(1)).first()
            if others is None:
                work.execute(sa.update(items).where(items.c.id == item).values(signature=None, state="settled", leased_to=None, lease_until=None, held_until=None))
                work.execute(sa.update(verdicts).where(verdicts.c.item == item, verdicts.c.note.is_not(None)).values(note=None, note_salt=None))
                work.note("erased", item, "system")
        if found:
            work.note("erased", "", "system", posts=len(found))
    _vacate(store)
    return len(found)


def _vacate(store: Store) -> None:
    """Deleted texts leave the write-ahead log as well (SQLite overwrites them in the file itself: secure_delete)."""
    if not store.postgres:
        with store.engine.connect() as connection:
            connection.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _iso(value: int | None) -> str | None:
    return None if value is None else moment(value).isoformat()
