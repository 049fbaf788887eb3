"""How decided posts enter the database: counted all, queued those that a person has to see, near copies put together."""

from __future__ import annotations

import datetime as dt
import json
import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa

from ipu_moderation.errors import InputError
from ipu_moderation.normalise import normalise
from ipu_moderation.policy import MAX_HOLD_HOURS
from ipu_moderation.review.audit import salted
from ipu_moderation.review.campaigns import bands_of, likeness, sign
from ipu_moderation.review.notices import notice_language, signs_of, write_notice
from ipu_moderation.review.privacy import Key
from ipu_moderation.review.schema import bands, items, notices, posts, tallies
from ipu_moderation.review.store import Store, Work, microseconds, moment
from ipu_moderation.review.types import Settings, Submission
from ipu_moderation.taxonomy import Category, TargetGroup, Tier
from ipu_moderation.types import Action, Assessment, Context

GRAPHIC = (Category.VIOLENCE, Category.INCITEMENT, Category.DEHUMANISATION)
MOST_VARIANTS = 20
"""Wordings in one item: more, and nobody would read them all before deciding on all."""
CAMPAIGN_COPIES = (5, 50)
"""Numbers of copies at which a campaign becomes more urgent."""
_MAX_NAME = 500

# Statements of every batch, built once: building them anew takes longer than running them.
_NOW: sa.BindParameter[int] = sa.bindparam("now")
_SINCE: sa.BindParameter[int] = sa.bindparam("since")
_KEYS: sa.BindParameter[object] = sa.bindparam("keys", expanding=True)
_KNOWN = sa.select(posts.c.external, posts.c.item).where(posts.c.external.in_(_KEYS))
_SAME = (
    sa.select(posts.c.likeness, items.c.id)
    .join(items, items.c.id == posts.c.item)
    .where(posts.c.likeness.in_(_KEYS), items.c.state == "open", items.c.round == 0, items.c.kind == "post", items.c.received > _SINCE)
    .with_for_update(of=items)
)
_NEAR = (
    sa.select(bands.c.band, items.c.id, items.c.signature, items.c.campaign, items.c.state, items.c.round, items.c.seen, items.c.lease_until, items.c.wordings)
    .join(items, items.c.id == bands.c.item)
    .where(bands.c.band.in_(_KEYS), bands.c.at > _SINCE)
    .order_by(bands.c.at.desc())
    .limit(sa.bindparam("most"))
)
_STILL_FREE = (
    sa.select(items.c.id)
    .where(
        items.c.id == sa.bindparam("the_item"),
        items.c.state == "open",
        items.c.round == 0,
        items.c.seen.is_(sa.false()),
        sa.or_(items.c.lease_until.is_(None), items.c.lease_until < _NOW),
    )
    .with_for_update()
)
_ADD_ITEMS, _ADD_POSTS, _ADD_BANDS, _ADD_NOTICES = sa.insert(items), sa.insert(posts), sa.insert(bands), sa.insert(notices)


def fresh() -> str:
    """A new id that says nothing: neither when nor what for."""
    return secrets.token_hex(8)


def skill_of(language: str) -> str:
    """The base language that a reader needs: `en` for `en-GB`, `hi` for `hi-Latn`."""
    return language.split("-")[0].lower() or "und"


def check_name(what: str, value: str) -> None:
    """Names come from outside and go into every kind of database.

    Raises:
        InputError: when it is empty, too long, or holds what databases refuse.
    """
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"the {what} has no name")
    if len(value) > _MAX_NAME:
        raise InputError(f"the name of a {what} has {len(value)} characters; at most {_MAX_NAME} are kept")
    if "\0" in value or any("\ud800" <= c <= "\udfff" for c in value):
        raise InputError(f"the name of a {what} holds a NUL or half a character")


def json_bytes(value: Any) -> bytes:
    """JSON as the tables hold it: ASCII, so that no character is refused."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def check_submission(submission: Submission, number: int) -> None:
    """A post with a usable name; a hold with a deadline that a policy could have set.

    Raises:
        InputError: naming the post's place in the batch.
    """
    post, decision = submission.post, submission.decision
    try:
        check_name("post", post.id)
        if post.author is not None and not post.author:
            raise InputError("the author is an empty string; use None for unknown")
        if not isinstance(post.text, str):
            raise InputError(f"the text is {type(post.text).__name__}, not str")
        if post.posted is not None:
            microseconds(post.posted)
        if decision.action is Action.HOLD and (decision.expires_after is None or not dt.timedelta(0) < decision.expires_after <= dt.timedelta(hours=MAX_HOLD_HOURS)):
            raise InputError(f"a hold needs a deadline within {MAX_HOLD_HOURS} hours; this one has {decision.expires_after or 'none'}")
    except InputError as error:
        raise InputError(f"post {number} of the batch: {error}") from error


@dataclass(slots=True)
class Prepared:
    """What is computed of a post before the transaction."""

    probability: float | None
    likeness: str | None
    signature: np.ndarray | None
    bands: list[int]


def prepare(submission: Submission, key: Key, settings: Settings) -> Prepared | None:
    """None for an allowed post that is not drawn for the sample."""
    post, assessment = submission.post, submission.assessment
    if submission.decision.action is Action.ALLOW:
        near = assessment.top is not None and assessment.top.value >= settings.near_score
        probability = settings.sample_share_near if near else settings.sample_share
        # each drawn post stands for 1 / probability of them, so none is put together with others
        return Prepared(probability, None, None, []) if key.draw("sample", post.id) < probability else None
    view = assessment.text.match_view if assessment.text.raw == post.text else normalise(post.text).match_view
    signature = sign(view)
    if signature is None:
        return Prepared(None, None, None, [])
    return Prepared(None, key.digest("likeness", view).hex()[:32], signature, bands_of(signature, settings.similarity))


class Intake:
    """One batch within one transaction."""

    def __init__(self, store: Store, work: Work, key: Key, settings: Settings) -> None:
        self._store, self._work, self._key, self._settings = store, work, key, settings
        self._items: list[dict[str, Any]] = []
        self._posts: list[dict[str, Any]] = []
        self._bands: list[dict[str, Any]] = []
        self._notices: list[dict[str, Any]] = []
        self._joined: dict[str, dict[str, Any]] = {}  # item -> what its new copies change
        self._new: dict[str, dict[str, Any]] = {}  # items of this batch
        self._wordings: dict[str, int] = {}  # item -> wordings that it did not hold before

    def take(self, chunk: Sequence[Submission], prepared: Sequence[Prepared | None]) -> list[str | None]:
        """Write the batch; gives back the item of each post, or None."""
        known = self._known([s.post.id for s, p in zip(chunk, prepared, strict=True) if p is not None])
        same = self._same([p.likeness for p in prepared if p is not None and p.likeness])
        near = self._near([band for p in prepared if p is not None for band in p.bands])
        counts: Counter[tuple[str, str, str, str, str]] = Counter()
        day = moment(self._work.now).date().isoformat()
        out: list[str | None] = []
        for submission, one in zip(chunk, prepared, strict=True):
            decision, language = submission.decision, submission.assessment.language.code
            if submission.post.id in known:
                out.append(known[submission.post.id])
                continue
            counts[day, language, decision.action.value, decision.category.value if decision.category else "", decision.policy] += 1
            if one is None:
                out.append(None)
                continue
            item = None
            if one.likeness is not None:
                item = same.get(one.likeness)
                if item is None and one.signature is not None:
                    item = self._nearest(one, near)
            if item is None:
                item = self._begin(submission, one, near)
            self._add(submission, one, item)
            known[submission.post.id] = item
            if one.likeness is not None:
                same[one.likeness] = item
            out.append(item)
        self._write(counts)
        return out

    def _known(self, names: list[str]) -> dict[str, str]:
        return {row.external: row.item for row in self._work.execute(_KNOWN, {"keys": names})} if names else {}

    def _same(self, likenesses: list[str]) -> dict[str, str]:
        """Items that hold exactly this wording and still wait for their first decision."""
        if not likenesses:
            return {}
        return {row.likeness: row.id for row in self._work.execute(_SAME, {"keys": sorted(set(likenesses)), "since": self._since})}

    def _near(self, keys: list[int]) -> dict[int, list[dict[str, Any]]]:
        """Items by band, latest first: those that a new wording may join, and those whose campaign it belongs to."""
        found: dict[int, list[dict[str, Any]]] = {}
        entries: dict[str, dict[str, Any]] = {}
        if not keys:
            return found
        unique = sorted(set(keys))
        for part in (unique[i : i + 500] for i in range(0, len(unique), 500)):
            for row in self._work.execute(_NEAR, {"keys": part, "since": self._since, "most": 2 * MOST_VARIANTS * len(part)}):
                if row.signature is not None and len(found.setdefault(row.band, [])) < MOST_VARIANTS:
                    unread = row.state == "open" and row.round == 0 and not row.seen and (row.lease_until is None or row.lease_until < self._work.now)
                    entry = entries.setdefault(
                        row.id, {"id": row.id, "wordings": row.wordings, "campaign": row.campaign, "signature": np.frombuffer(row.signature, dtype=np.uint32), "unread": unread}
                    )
                    found[row.band].append(entry)
        return found

    @property
    def _since(self) -> int:
        return self._work.now - self._settings.campaign_window // dt.timedelta(microseconds=1)

    def _like(self, one: Prepared, near: dict[int, list[dict[str, Any]]]) -> list[dict[str, Any]]:
        """Items similar enough, most similar first."""
        if one.signature is None:
            return []
        candidates = {entry["id"]: entry for band in one.bands for entry in near.get(band, ())}
        scored = [(likeness(one.signature, entry["signature"]), entry) for entry in candidates.values()]
        return [entry for value, entry in sorted(scored, key=lambda pair: -pair[0]) if value >= self._settings.similarity]

    def _nearest(self, one: Prepared, near: dict[int, list[dict[str, Any]]]) -> str | None:
        """An item that this new wording joins: nobody reads it or has read it, so whoever decides will see this wording too."""
        for entry in self._like(one, near):
            if not entry["unread"] or entry["wordings"] >= MOST_VARIANTS:
                continue
            identity = str(entry["id"])
            if identity in self._new or self._work.execute(_STILL_FREE, {"the_item": identity, "now": self._work.now}).first() is not None:
                entry["wordings"] += 1
                self._wordings[identity] = self._wordings.get(identity, 0) + 1
                return identity
            entry["unread"] = False
        return None

    def _begin(self, submission: Submission, one: Prepared, near: dict[int, list[dict[str, Any]]]) -> str:
        assessment, decision = submission.assessment, submission.decision
        identity, now = fresh(), self._work.now
        like = self._like(one, near)
        context = submission.context or Context()
        row = {
            "id": identity, "kind": "post" if one.probability is None else "sample", "language": assessment.language.code, "skill": skill_of(assessment.language.code),
            "category": decision.category.value if decision.category else None, "target": target_of(assessment), "tier": assessment.tier.value, "action": decision.action.value,
            "priority": decision.priority, "policy": decision.policy,
            "evidence": json_bytes({"reasons": list(decision.reasons), "versions": dict(decision.versions), "context": asdict(context), "assessment": assessment.to_dict(),
                                    "expires_after_seconds": decision.expires_after.total_seconds() if decision.expires_after else None}),
            "graphic": assessment.tier is Tier.TOP or decision.category in GRAPHIC, "received": now, "due": self._due(decision.priority), "state": "open",
            "outcome": None, "round": 0,
            "opinions": 0, "seen": False, "second": self._key.draw("second", submission.post.id) < self._settings.second_share, "probability": one.probability,
            "copies": 0, "wordings": 1,
            "held_until": None, "campaign": like[0]["campaign"] if like else identity, "signature": one.signature.tobytes() if one.signature is not None else None, "golden": None,
        }  # fmt: skip
        self._items.append(row)
        self._new[identity] = row
        entry = {"id": identity, "wordings": 1, "campaign": row["campaign"], "signature": one.signature, "unread": True}
        for band in one.bands:
            self._bands.append({"band": band, "item": identity, "at": now})
            near.setdefault(band, []).insert(0, entry)
        return identity

    def _due(self, priority: float) -> int:
        return self._work.now + int((1 - min(1.0, max(0.0, priority))) * (self._settings.patience // dt.timedelta(microseconds=1)))

    def _add(self, submission: Submission, one: Prepared, item: str) -> None:
        """One post into its item."""
        post, decision, now = submission.post, submission.decision, self._work.now
        held = now + decision.expires_after // dt.timedelta(microseconds=1) if decision.action is Action.HOLD and decision.expires_after else None
        salt, text, identity = secrets.token_bytes(16), post.text.encode("utf-8", "surrogatepass"), fresh()
        digest = salted(salt, text)
        self._posts.append({
            "id": identity, "item": item, "external": post.id, "author": self._key.pseudonym(post.author) if post.author is not None else None, "source": post.source,
            "posted": microseconds(post.posted) if post.posted is not None else None, "received": now, "held_until": held, "hold_open": held is not None,
            "salt": salt, "text": text,
            "digest": digest, "likeness": one.likeness,
        })  # fmt: skip
        change = self._joined.setdefault(item, {"copies": 0, "due": None, "held_until": None, "action": "allow", "graphic": False})
        change["copies"] += 1
        change["graphic"] |= submission.assessment.tier is Tier.TOP or decision.category in GRAPHIC
        change["action"] = max(change["action"], decision.action.value, key=lambda a: Action(a).rank)
        due = self._due(decision.priority)
        if held is not None:
            due = min(due, now + (held - now) // 2)
            change["held_until"] = max(held, change["held_until"] or 0)
            until = moment(held).isoformat(timespec="minutes")
            language = notice_language(submission.assessment.language.code)
            told = write_notice("held", signs_of(decision, language), until, language)
            self._notices.append({"post": identity, "kind": "held", "at": now, "body": json_bytes({"reasons": list(decision.reasons), "text": told, "language": language})})
        change["due"] = due if change["due"] is None else min(due, change["due"])
        first = change["copies"] == 1 and item in self._new
        self._work.note(
            ("submitted" if one.probability is None else "sampled") if first else "joined", item, "system", post=identity, digest=digest, action=decision.action.value,
            category=decision.category.value if decision.category else None, policy=decision.policy, reasons=list(decision.reasons), versions=dict(decision.versions),
            held_until=None if held is None else moment(held).isoformat(timespec="microseconds"),
        )  # fmt: skip

    def _write(self, counts: Counter[tuple[str, str, str, str, str]]) -> None:
        work = self._work
        for row in self._items:
            change = self._joined.pop(row["id"])
            row.update(
                copies=change["copies"],
                wordings=1 + self._wordings.get(row["id"], 0),
                due=self._urgent(0, change["copies"], change["due"]),
                held_until=change["held_until"],
                action=change["action"],
                graphic=change["graphic"],
            )
        if self._items:
            work.execute(_ADD_ITEMS, self._items)
        if self._posts:
            work.execute(_ADD_POSTS, self._posts)
        if self._bands:
            unique = {(row["band"], row["item"]): row for row in self._bands}
            work.execute(_ADD_BANDS, list(unique.values()))
        if self._notices:
            work.execute(_ADD_NOTICES, self._notices)
        for item in sorted(self._joined):
            change = self._joined[item]
            now = work.execute(sa.select(items.c.copies, items.c.due, items.c.held_until, items.c.action, items.c.graphic, items.c.wordings).where(items.c.id == item)).one()
            due = self._urgent(now.copies, now.copies + change["copies"], min(now.due, change["due"]))
            held = max(filter(None, (now.held_until, change["held_until"])), default=None)
            action = max(now.action, change["action"], key=lambda a: Action(a).rank)
            values = {"copies": now.copies + change["copies"], "wordings": now.wordings + self._wordings.get(item, 0), "due": due, "held_until": held, "action": action}
            work.execute(sa.update(items).where(items.c.id == item).values(**values, graphic=now.graphic or change["graphic"]))
        names = ("day", "language", "action", "category", "policy")
        self._store.tally(work, tallies, [{**dict(zip(names, key, strict=True)), "n": n} for key, n in counts.items()])

    def _urgent(self, before: int, after: int, due: int) -> int:
        """Sooner by a tenth of the patience at each mark that the number of copies passes."""
        passed = sum(before < mark <= after for mark in CAMPAIGN_COPIES)
        return due - passed * (self._settings.patience // dt.timedelta(microseconds=10))


def target_of(assessment: Assessment) -> str | None:
    """The likeliest group under attack, where hate is likelier than not; None otherwise."""
    hate = assessment.scores.get(Category.HATE)
    if hate is None or hate.value < 0.5 or not assessment.targets:
        return None
    group: TargetGroup = max(assessment.targets.values(), key=lambda t: t.value).group
    return str(group.value)
