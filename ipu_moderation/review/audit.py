"""The audit trail: entries chained by SHA-256, so that a change, a gap or another order shows.

Each entry's hash is SHA-256 over the hash of the one before, a line feed, and the entry as canonical JSON (keys sorted, no white space, UTF-8, no
floats); the first entry follows 64 zeros. Whoever can write to the database could compute a whole new chain: compare the head with one that was
published or kept elsewhere earlier (`anchor`), and even that shows.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from ipu_moderation.errors import InputError
from ipu_moderation.review.schema import appeals, audit, items, posts, verdicts
from ipu_moderation.review.types import AuditEntry

START = "0" * 64
_LAST = sa.select(audit.c.seq, audit.c.hash).order_by(audit.c.seq.desc()).limit(1)
_ADD = sa.insert(audit)
_FIELDS = ("seq", "at", "kind", "item", "actor", "body")


def canonical(value: Any) -> str:
    """JSON with one form for each value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def link(previous: str, entry: Mapping[str, Any]) -> str:
    """The hash of an entry that follows `previous`."""
    content = canonical({name: entry[name] for name in _FIELDS})
    return hashlib.sha256(f"{previous}\n{content}".encode("utf-8", "surrogatepass")).hexdigest()


def salted(salt: bytes, text: bytes) -> str:
    """The digest of a text that stands in the trail. Without the salt, which is deleted with the text, nobody can test a guess."""
    return hashlib.sha256(salt + text).hexdigest()


@dataclass(frozen=True, slots=True)
class Draft:
    """An entry before it has a place in the chain."""

    kind: str
    item: str
    actor: str
    body: Mapping[str, Any]
    at: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What `verify` found."""

    entries: int
    head: str
    """`seq:hash` of the last entry: publish it, or have others keep it."""
    faults: tuple[str, ...] = field(default=())

    @property
    def sound(self) -> bool:
        """True when nothing was found."""
        return not self.faults


def append(connection: sa.Connection, drafts: Sequence[Draft]) -> None:
    """Put entries at the end of the chain, in the caller's transaction. The caller holds the lock under which the chain grows."""
    last = connection.execute(_LAST).first()
    seq, previous = (last.seq, last.hash) if last else (0, START)
    rows = []
    for draft in drafts:
        seq += 1
        row = {"seq": seq, "at": draft.at, "kind": draft.kind, "item": draft.item, "actor": draft.actor, "body": dict(draft.body)}
        row["hash"] = link(previous, row)
        row["previous"], previous = previous, row["hash"]
        row["body"] = canonical(row["body"])
        rows.append(row)
    connection.execute(_ADD, rows)


def entries(connection: sa.Connection, *, item: str | None = None, after: int = 0) -> Iterator[AuditEntry]:
    """Entries in order, of one item or all, streamed."""
    query = sa.select(audit).where(audit.c.seq > after).order_by(audit.c.seq)
    if item is not None:
        query = query.where(audit.c.item == item)
    for row in connection.execution_options(yield_per=1000).execute(query):
        yield AuditEntry(row.seq, row.at, row.kind, row.item, row.actor, _body(row.body), row.previous, row.hash)


def _body(text: str) -> Mapping[str, Any]:
    """The body, or a marker that cannot be one when it was damaged."""
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {"damaged": True}


def verify_chain(chain: Iterable[AuditEntry], anchor: str | None = None) -> Verification:
    """Walk a chain and name the first fault: a changed entry, a gap, another order, or an anchor that is not on it.

    Args:
        chain: entries in the order in which they lie.
        anchor: `seq:hash`, as an earlier verification gave it.

    Raises:
        InputError: when the anchor has another form.
    """
    wanted = _anchor(anchor)
    number, previous, anchored = 0, START, wanted is None
    for entry in chain:
        number += 1
        if entry.seq != number:
            what = "another order" if entry.seq < number else f"a gap: {number} to {entry.seq - 1} are missing"
            return Verification(number - 1, f"{number - 1}:{previous}", (f"entry {entry.seq} stands where {number} is expected ({what})",))
        if entry.previous != previous:
            return Verification(
                number - 1, f"{number - 1}:{previous}", (f"entry {number} ({entry.kind}) does not follow the entry before it: one of the two was changed or put in",)
            )
        if link(previous, {name: getattr(entry, name) for name in _FIELDS}) != entry.hash:
            return Verification(number - 1, f"{number - 1}:{previous}", (f"entry {number} ({entry.kind}) was changed: its content does not have its hash",))
        previous = entry.hash
        if wanted is not None and number == wanted[0]:
            anchored = previous == wanted[1]
            if not anchored:
                return Verification(number, f"{number}:{previous}", (f"entry {number} is not the one of the anchor: the chain was computed anew at or before it",))
    head = f"{number}:{previous}"
    if wanted is not None and not anchored:
        return Verification(number, head, (f"the chain ends at entry {number}, before the anchor at {wanted[0]}: its end was cut off",))
    return Verification(number, head)


def verify(connection: sa.Connection, anchor: str | None = None) -> Verification:
    """Verify the chain, and that verdicts, outcomes, appeals and the texts that are still kept are those that it tells of.

    Raises:
        InputError: see `verify_chain`.
    """
    found = verify_chain(entries(connection), anchor)
    if not found.sound:
        return found
    return Verification(found.entries, found.head, tuple(_contradictions(connection)))


def _contradictions(connection: sa.Connection, most: int = 20) -> Iterator[str]:
    """Where the tables say other than the chain; at most `most`, since one cause may show a million times."""
    told: dict[tuple[str, str], str] = {}
    outcomes: dict[str, str | None] = {}
    digests: dict[str, str] = {}
    asked: dict[tuple[str, str], str | None] = {}
    for entry in entries(connection):
        if entry.kind == "labelled":
            told[entry.item, entry.actor] = canonical(
                {"labels": entry.body["labels"], "note": entry.body["note"], "restrict": entry.body["restrict"], "round": entry.body["round"]}
            )
        elif entry.kind == "settled":
            outcomes[entry.item] = entry.body["outcome"]
            for key in [k for k, result in asked.items() if k[0] == entry.item and result is None]:
                asked[key] = entry.body.get("appeal")
        elif entry.kind in ("submitted", "joined", "sampled", "split"):
            digests[entry.body["post"]] = entry.body["digest"]
        elif entry.kind == "appealed":
            asked[entry.item, entry.body["post"]] = None
    n = 0

    def count(message: str) -> Iterator[str]:
        nonlocal n
        n += 1
        if n <= most:
            yield message

    for row in connection.execution_options(yield_per=1000).execute(sa.select(verdicts)):
        now = canonical({"labels": json.loads(row.labels), "note": row.note_digest, "restrict": bool(row.restrict), "round": row.round})
        before = told.pop((row.item, row.reviewer), None)
        if before is None:
            yield from count(f"item {row.item}: the verdict of {row.reviewer} is not in the chain")
        elif before != now:
            yield from count(f"item {row.item}: the verdict of {row.reviewer} is not the one in the chain")
        elif row.note is not None and salted(row.note_salt or b"", row.note) != row.note_digest:
            yield from count(f"item {row.item}: the note of {row.reviewer} was changed")
    for item, reviewer in told:
        yield from count(f"item {item}: the verdict of {reviewer} stands in the chain and is gone from the table")
    for row in connection.execution_options(yield_per=1000).execute(sa.select(items.c.id, items.c.outcome).where(items.c.outcome.is_not(None))):
        if row.outcome != outcomes.pop(row.id, None):
            yield from count(f"item {row.id}: the outcome '{row.outcome}' is not the one in the chain")
    for item, outcome in outcomes.items():
        if outcome is not None:
            yield from count(f"item {item}: the outcome '{outcome}' stands in the chain and is gone from the table")
    for row in connection.execution_options(yield_per=1000).execute(sa.select(posts.c.id, posts.c.text, posts.c.salt, posts.c.digest)):
        if digests.pop(row.id, None) != row.digest or (row.text is not None and salted(row.salt or b"", row.text) != row.digest):
            yield from count(f"post {row.id}: its text is not the one that came in")
    for post in digests:
        yield from count(f"post {post}: stands in the chain and is gone from the table")
    for row in connection.execute(sa.select(appeals)):
        if asked.pop((row.item, row.post), "-") != row.result:
            yield from count(f"item {row.item}: the appeal about post {row.post} is not the one in the chain")
    for item, post in asked:
        yield from count(f"item {item}: the appeal about post {post} stands in the chain and is gone from the table")
    if n > most:
        yield f"and {n - most} more"


def write_trail(chain: Iterable[AuditEntry], path: Path) -> int:
    """Export a chain as JSONL that `read_trail`, or twenty lines of anybody's own, can verify; returns how many entries.

    Raises:
        InputError: when the directory is missing.
    """
    if not path.parent.is_dir():
        raise InputError(f"{path.parent}: no such directory")
    n = 0
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("w", encoding="utf-8", newline="\n") as stream:
            for entry in chain:
                n += 1
                stream.write(canonical({**{name: getattr(entry, name) for name in _FIELDS}, "previous": entry.previous, "hash": entry.hash}) + "\n")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return n


def read_trail(path: Path) -> Iterator[AuditEntry]:
    """Entries of an exported chain.

    Raises:
        InputError: when the file is missing or a row is no entry.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file. Make one with: ipu-moderation audit export")
    with path.open(encoding="utf-8") as stream:
        for number, line in enumerate(filter(str.strip, stream), 1):
            try:
                row = json.loads(line)
                yield AuditEntry(*(row[name] for name in (*_FIELDS, "previous", "hash")))
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(f"{path}, row {number}: not an audit entry; make the file with: ipu-moderation audit export") from error


def _anchor(anchor: str | None) -> tuple[int, str] | None:
    if anchor is None:
        return None
    match = re.fullmatch(r"(\d+):([0-9a-f]{64})", anchor.strip())
    if match is None:
        raise InputError("the anchor must be SEQ:HASH, as `ipu-moderation audit verify` printed it")
    return int(match[1]), match[2]
