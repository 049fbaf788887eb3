"""The queue: posts come in, people claim them one at a time and give verdicts, and what follows is written down.

Nothing here restricts a post but `label`, which takes a person's `Verdict`, and the rule in `ruling` that needs two of them. A hold is a time in the
future and nothing else: when it has passed, `standing` says `allowed`, whether or not anybody ran `lapse`.
"""

from __future__ import annotations

import datetime as dt
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from random import Random, SystemRandom
from typing import Any

import sqlalchemy as sa

from ipu_moderation.errors import InputError
from ipu_moderation.review.audit import salted
from ipu_moderation.review.intake import Intake, check_name, check_submission, fresh, json_bytes, prepare, skill_of
from ipu_moderation.review.notices import ENGLISH, notice_language, reasons_of, write_notice
from ipu_moderation.review.privacy import Key, check_key
from ipu_moderation.review.ruling import rule
from ipu_moderation.review.schema import appeals, goldens, items, notices, posts, verdicts
from ipu_moderation.review.store import Store, Work, moment
from ipu_moderation.review.types import Campaign, Notice, NoticeKind, Opinion, Party, Post, ReviewItem, Ruling, Settings, Standing, Submission, Variant
from ipu_moderation.review.wellness import suggest_pause
from ipu_moderation.taxonomy import Category, Tier
from ipu_moderation.types import Assessment, Context, Decision, Verdict
from ipu_moderation.worksheets import Worksheet, legal_worksheets

CHUNK = 200
"""Posts that `submit_many` writes in one transaction."""
_CANDIDATES = 8
"""Items that a claim looks at, and times that it asks again when others are quicker."""
_MAX_TEXT = 20_000
"""Characters of a note or of the grounds of an appeal."""
_ANSWERS: Mapping[bool | None, str] = {True: "yes", False: "no", None: "cannot_tell"}

# The statements of every claim and verdict, built once: building them anew takes longer than running them.
_NOW: sa.BindParameter[int] = sa.bindparam("now")
_ITEM: sa.BindParameter[str] = sa.bindparam("the_item")
_REVIEWER: sa.BindParameter[str] = sa.bindparam("who")
_UNLEASED = sa.or_(items.c.lease_until.is_(None), items.c.lease_until <= _NOW)
_MINE = sa.select(items).where(items.c.leased_to == _REVIEWER, items.c.state == "open", items.c.lease_until > _NOW).limit(1)
_FREE = sa.select(items).where(items.c.id == _ITEM, items.c.state == "open", _UNLEASED).with_for_update(skip_locked=True)
_LEASE = sa.update(items).where(items.c.id == _ITEM).values(leased_to=sa.bindparam("to"), lease_until=sa.bindparam("until"), claimed=_NOW)
_WAITING = (
    sa.select(items.c.due, items.c.id)
    .where(items.c.state == sa.literal_column("'open'"), items.c.skill == sa.bindparam("skill"), _UNLEASED)
    .order_by(items.c.due)
    .limit(_CANDIDATES)
)
_READ = sa.select(verdicts.c.id).where(verdicts.c.item == items.c.id, verdicts.c.reviewer == _REVIEWER)
_NEXT_UNSEEN = _WAITING.where(items.c.seen.is_(sa.false()))
_NEXT_SEEN = _WAITING.where(items.c.seen.is_(sa.true()), ~_READ.exists())
_ROW = sa.select(items).where(items.c.id == _ITEM).with_for_update()
_SPOKEN = sa.select(verdicts.c.id).where(verdicts.c.item == _ITEM, verdicts.c.reviewer == _REVIEWER)
_ROUND = sa.select(verdicts).where(verdicts.c.item == _ITEM, verdicts.c.round == sa.bindparam("number")).order_by(verdicts.c.id)
_GIVEN = sa.update(items).where(items.c.id == _ITEM).values(leased_to=None, lease_until=None, claimed=None, seen=True, opinions=items.c.opinions + 1)
_SETTLED = sa.update(items).where(items.c.id == _ITEM).values(state="settled", outcome=sa.bindparam("result"), decided=_NOW, held_until=None)
_POSTS = sa.select(posts.c.id, posts.c.hold_open, posts.c.held_until).where(posts.c.item == _ITEM).order_by(posts.c.id)
_NO_HOLD = sa.update(posts).where(posts.c.item == _ITEM, posts.c.hold_open).values(hold_open=False)
_TEXT = sa.select(posts.c.text, posts.c.external).where(posts.c.item == _ITEM)
_RECENT = (
    sa.select(verdicts.c.at, items.c.graphic).join(items, items.c.id == verdicts.c.item).where(verdicts.c.reviewer == _REVIEWER, verdicts.c.at > sa.bindparam("since"))
    .order_by(verdicts.c.at.desc()).limit(500)
)  # fmt: skip
_SAY = sa.insert(verdicts)


class ReviewQueue:
    """The queue over one database. Safe for threads; each process opens its own."""

    def __init__(self, store: Store | str, key: Key | bytes, settings: Settings | None = None, *, random: Random | None = None) -> None:
        """Open.

        Args:
            store: an open `Store`, or its URL or path.
            key: the secret behind pseudonyms and draws; a database stays with the key that it was begun with.
            settings: how the queue is run.
            random: decides when a golden item is shown; tests set their own.

        Raises:
            InputError: when the database or the key cannot be used.
        """
        self.store = Store(store) if isinstance(store, str) else store
        self.key = key if isinstance(key, Key) else Key(key)
        self.settings = settings or Settings()
        self._random = random or SystemRandom()
        check_key(self.store, self.key)

    # --- in ----------------------------------------------------------------------------------------------------------------------------

    def submit(self, post: Post, assessment: Assessment, decision: Decision, context: Context | None = None) -> str | None:
        """Hand over one decided post: it is counted, and queued when a person has to look. See `submit_many`.

        Raises:
            InputError: see `submit_many`.
        """
        return self.submit_many([Submission(post, assessment, decision, context)])[0]

    def submit_many(self, submissions: Iterable[Submission]) -> list[str | None]:
        """Hand over decided posts, `allow` included: all are counted, so that the report knows the whole.

        Returns:
            For each the id of the item in which people will decide on it; None for an allowed post that was not drawn for the sample. A queued post that
            was handed over before keeps its item and its deadline, whatever is said now.

        Raises:
            InputError: when a post has no usable name, or a hold has no deadline or one later than any policy may set.
        """
        out: list[str | None] = []
        iterator = iter(submissions)
        while chunk := list(islice(iterator, CHUNK)):
            for i, submission in enumerate(chunk):
                check_submission(submission, len(out) + i + 1)
            prepared = [prepare(submission, self.key, self.settings) for submission in chunk]
            with self.store.write() as work:
                work.lock("submit")
                out += Intake(self.store, work, self.key, self.settings).take(chunk, prepared)
        return out

    def add_golden(self, text: str, language: str, labels: Mapping[Category, bool | None], *, restrict: bool) -> bool:
        """A text whose answer is known, shown to each reviewer once among the others; False when it was there already.

        Raises:
            InputError: when it says nothing about any category.
        """
        if all(value is None for value in labels.values()):
            raise InputError("a golden item needs a known answer in at least one category")
        identity = self.key.digest("golden", text).hex()[:16]
        with self.store.write() as work:
            work.lock("submit")
            if work.execute(sa.select(goldens.c.id).where(goldens.c.id == identity)).first():
                return False
            row = {
                "id": identity,
                "language": language,
                "skill": skill_of(language),
                "text": text.encode("utf-8", "surrogatepass"),
                "labels": _labels(labels),
                "restrict": restrict,
            }
            work.execute(sa.insert(goldens).values(row))
            work.note("golden_added", "", "system", golden=identity)
        return True

    # --- out ---------------------------------------------------------------------------------------------------------------------------

    def claim(self, reviewer: str, languages: Sequence[str], *, evidence: bool = False) -> ReviewItem | None:
        """The item that this reviewer should look at now, theirs alone until the lease ends; None when there is nothing for them.

        Whoever holds an item already gets the same one again. Items are due in the order of arrival, sooner the higher their priority, and a hold
        at half its time at the latest; posts in an unidentified language are shown to everybody.

        Args:
            reviewer: a pseudonym of the person.
            languages: BCP 47 codes that they read.
            evidence: show what the machine saw; the trail says that it was shown.

        Raises:
            InputError: when the reviewer has no name.
        """
        check_name("reviewer", reviewer)
        skills = sorted({skill_of(code) for code in languages} | {"und"})
        for _ in range(_CANDIDATES):
            with self.store.write() as work:
                held = work.execute(_MINE, {"who": reviewer, "now": work.now}).first()
                if held is not None:
                    if evidence:
                        work.note("evidence_shown", held.id, reviewer)
                    return self._item(work, held, reviewer, evidence)
                golden = self._golden(work, reviewer, skills)
                candidates = [golden] if golden else self._candidates(work, reviewer, skills)
                for identity in candidates:
                    item = self._lease(work, identity, reviewer, evidence)
                    if item is not None:
                        return item
                if not candidates:
                    return None
        return None

    def claim_item(self, item: str, reviewer: str, *, evidence: bool = False) -> ReviewItem:
        """This very item, for opinions that come from elsewhere.

        Raises:
            InputError: when it is unknown, decided, in other hands, or this reviewer gave an opinion on it before.
        """
        check_name("reviewer", reviewer)
        with self.store.write() as work:
            row = self._row(work, item)
            if work.execute(_SPOKEN, {"the_item": item, "who": reviewer}).first():
                raise InputError(f"item {item}: {reviewer} gave an opinion on it already; the next one comes from somebody else")
            if row.leased_to == reviewer and row.lease_until > work.now:
                return self._item(work, row, reviewer, evidence)
            found = self._lease(work, item, reviewer, evidence)
            if found is None:
                raise InputError(f"item {item}: {'decided already' if row.state != 'open' else 'somebody else holds it'}. See `review stats`, or try again later")
            return found

    def _lease(self, work: Work, identity: str, reviewer: str, evidence: bool) -> ReviewItem | None:
        row = work.execute(_FREE, {"the_item": identity, "now": work.now}).first()
        if row is None:
            return None
        until = work.now + self.settings.lease // dt.timedelta(microseconds=1)
        work.execute(_LEASE, {"the_item": identity, "to": reviewer, "until": until, "now": work.now})
        work.note("claimed", identity, reviewer, until=moment(until).isoformat(timespec="microseconds"), evidence=evidence)
        return self._item(work, row, reviewer, evidence, until)

    def _candidates(self, work: Work, reviewer: str, skills: Sequence[str]) -> list[str]:
        """Ids of free items, the one that is due first in front. A few short look-ups, each along the index, whatever the size of the table."""
        found: list[tuple[int, str]] = []
        for skill in skills:
            values = {"skill": skill, "now": work.now}
            found += [(row.due, row.id) for row in work.execute(_NEXT_UNSEEN, values)]
            found += [(row.due, row.id) for row in work.execute(_NEXT_SEEN, {**values, "who": reviewer})]
        return [identity for _, identity in sorted(found)]

    def _golden(self, work: Work, reviewer: str, skills: Sequence[str]) -> str | None:
        """Now and then, an item whose answer is known and which this reviewer has not seen; it looks like any other."""
        if self._random.random() >= self.settings.golden_share:
            return None
        seen = sa.select(items.c.golden).join(verdicts, verdicts.c.item == items.c.id).where(verdicts.c.reviewer == reviewer, items.c.golden.is_not(None))
        left = list(work.execute(sa.select(goldens).where(goldens.c.skill.in_(skills), goldens.c.id.not_in(seen)).order_by(goldens.c.id)))
        if not left:
            return None
        golden = self._random.choice(left)
        identity, post, salt = fresh(), fresh(), secrets.token_bytes(16)
        work.execute(sa.insert(items).values(
            id=identity, kind="golden", language=golden.language, skill=golden.skill, tier=Tier.NONE.value, action="review", priority=0.5, policy="golden",
            evidence=json_bytes({"reasons": [], "versions": {}, "context": {}, "assessment": None, "expires_after_seconds": None}), graphic=False, received=work.now, due=work.now,
            state="open", round=0, opinions=0, seen=False, second=False, copies=1, wordings=1, campaign=identity, golden=golden.id,
        ))  # fmt: skip
        digest = salted(salt, golden.text)
        work.execute(sa.insert(posts).values(id=post, item=identity, source="own_initiative", received=work.now, hold_open=False, salt=salt, text=golden.text, digest=digest))
        work.note("submitted", identity, "system", post=post, digest=digest, golden=golden.id)
        return identity

    def _item(self, work: Work, row: Any, reviewer: str, evidence: bool, until: int | None = None) -> ReviewItem:
        told = json.loads(row.evidence)
        grounds = work.execute(sa.select(appeals.c.grounds).where(appeals.c.item == row.id, appeals.c.result.is_(None)).limit(1)).first() if row.round else None
        held = row.held_until if row.held_until is not None and row.held_until > work.now and row.outcome is None else None
        return ReviewItem(
            id=row.id,
            variants=_variants(work.connection, row.id, row.copies),
            language=row.language,
            context=Context(**told["context"]),
            campaign=_campaign(work.connection, row.campaign) if row.copies > 1 or row.campaign != row.id else None,
            held_until=moment(held) if held is not None else None,
            lease_until=moment(row.lease_until if until is None else until),
            appeal=None if grounds is None else (grounds.grounds or b"").decode("utf-8", "surrogatepass"),
            graphic=bool(row.graphic),
            reasons=tuple(told["reasons"]) if evidence else (),
            worksheets=_worksheets(told) if evidence else {},
            pause=self._pause(work, reviewer),
        )

    def _pause(self, work: Work, reviewer: str) -> str | None:
        since = work.now - dt.timedelta(hours=4) // dt.timedelta(microseconds=1)
        recent = [(moment(row.at), bool(row.graphic)) for row in work.execute(_RECENT, {"who": reviewer, "since": since})]
        return suggest_pause(recent, moment(work.now), self.settings) if recent else None

    def release(self, item: str, reviewer: str) -> None:
        """Give a claimed item back unanswered.

        Raises:
            InputError: when this reviewer does not hold it.
        """
        with self.store.write() as work:
            self._held(work, item, reviewer)
            work.execute(sa.update(items).where(items.c.id == item).values(leased_to=None, lease_until=None, claimed=None))
            work.note("released", item, reviewer)

    def split(self, item: str, post: str, reviewer: str) -> str:
        """Take one wording out of an item that this reviewer holds, since it says something else: it becomes an item of its own.

        Args:
            item: the item.
            post: the caller's name of a post with that wording (`Variant.post`).
            reviewer: who holds the item.

        Raises:
            InputError: when the reviewer does not hold the item, the post is not in it, or it has no other wording.
        """
        with self.store.write() as work:
            row = self._held(work, item, reviewer)
            chosen = work.execute(sa.select(posts).where(posts.c.item == item, posts.c.external == post)).first()
            if chosen is None:
                raise InputError(f"item {item} has no post '{post}'")
            same = posts.c.likeness == chosen.likeness if chosen.likeness is not None else posts.c.id == chosen.id
            moved = list(work.execute(sa.select(posts).where(posts.c.item == item, same).order_by(posts.c.id)))
            if len(moved) == row.copies:
                raise InputError(f"item {item} has no other wording than this one")
            identity = fresh()
            values = {
                **row._mapping,
                "id": identity,
                "state": "open",
                "outcome": None,
                "decided": None,
                "round": 0,
                "opinions": 0,
                "seen": False,
                "leased_to": None,
                "lease_until": None,
            }
            held = max((p.held_until for p in moved if p.hold_open), default=None)
            work.execute(sa.insert(items).values({**values, "claimed": None, "copies": len(moved), "wordings": 1, "signature": None, "held_until": held}))
            work.execute(sa.update(posts).where(posts.c.id.in_([p.id for p in moved])).values(item=identity))
            work.execute(sa.update(items).where(items.c.id == item).values(copies=row.copies - len(moved), wordings=row.wordings - 1))
            for one in moved:
                work.note("split", identity, reviewer, post=one.id, digest=one.digest, out_of=item)
        return identity

    # --- people decide -----------------------------------------------------------------------------------------------------------------

    def label(self, verdict: Verdict) -> Ruling:
        """Record what a person said about the item that they hold, and what follows.

        "Cannot tell" is a verdict without a yes or a no. A verdict given after the lease ended counts as long as nobody else took the item.

        Raises:
            InputError: when the item is unknown or decided, the reviewer does not hold it or gave an opinion before, or a restriction names no category.
        """
        return self._label(verdict, None, elsewhere=False)

    def adopt(self, verdict: Verdict, at: dt.datetime | None = None) -> Ruling:
        """Record a verdict that a person gave in another tool: the item is claimed for them and labelled, under the same rules.

        Raises:
            InputError: see `claim_item` and `label`.
        """
        self.claim_item(verdict.item, verdict.reviewer)
        return self._label(verdict, at, elsewhere=True)

    def _label(self, verdict: Verdict, at: dt.datetime | None, *, elsewhere: bool) -> Ruling:
        check_name("reviewer", verdict.reviewer)
        if verdict.restrict and True not in verdict.labels.values():
            raise InputError("a restriction needs a ground: answer yes for at least one category")
        if len(verdict.note) > _MAX_TEXT:
            raise InputError(f"the note has {len(verdict.note)} characters; at most {_MAX_TEXT} are kept")
        labels = _labels(verdict.labels)
        with self.store.write() as work:
            row = self._held(work, verdict.item, verdict.reviewer)
            note, salt = (verdict.note.encode("utf-8", "surrogatepass"), secrets.token_bytes(16)) if verdict.note else (None, None)
            digest = salted(salt, note) if note is not None and salt is not None else None
            given = work.now if at is None else min(work.now, (at - moment(0)) // dt.timedelta(microseconds=1))
            work.execute(_SAY, {
                "item": row.id, "round": row.round, "reviewer": verdict.reviewer, "labels": labels, "restrict": verdict.restrict, "at": given,
                "seconds": None if elsewhere or row.claimed is None else (work.now - row.claimed) / 1e6, "note": note, "note_salt": salt, "note_digest": digest,
            })  # fmt: skip
            work.note("labelled", row.id, verdict.reviewer, labels=json.loads(labels), restrict=verdict.restrict, round=row.round, note=digest, elsewhere=elsewhere)
            work.execute(_GIVEN, {"the_item": row.id})
            if row.kind == "golden":
                work.execute(_SETTLED, {"the_item": row.id, "result": None, "now": work.now})
                return Ruling(row.id, True, None, "")
            opinions = [read_opinion(one) for one in work.execute(_ROUND, {"the_item": row.id, "number": row.round})]
            ruling = rule(row.id, opinions, second=bool(row.second), standing=row.outcome)
            if ruling.settled:
                self._settle(work, row, ruling, opinions)
            return ruling

    def _settle(self, work: Work, row: Any, ruling: Ruling, opinions: Sequence[Opinion]) -> None:
        """Write the outcome that `rule` found, and the notices that follow from it."""
        appeal = work.execute(sa.select(appeals).where(appeals.c.item == row.id, appeals.c.result.is_(None))).first() if row.round else None
        result = None if appeal is None else "upheld" if ruling.outcome == appeal.against else "overturned"
        work.note("settled", row.id, "system", outcome=ruling.outcome, round=row.round, appeal=result)
        work.execute(_SETTLED, {"the_item": row.id, "result": ruling.outcome, "now": work.now})
        mine = list(work.execute(_POSTS, {"the_item": row.id}))
        kind: NoticeKind | None = None
        told = [p.id for p in mine]
        if appeal is not None and appeal.party == "author":
            kind = "appeal_upheld" if result == "upheld" else "appeal_overturned"
            told = [appeal.post] if result == "upheld" else told
        elif ruling.outcome == "restricted" and row.outcome != "restricted":
            kind = "restricted"
        elif row.outcome is None:
            kind, told = "released", [p.id for p in mine if p.hold_open and p.held_until > work.now]
        if kind is not None and told:
            language = notice_language(row.language)
            reasons = reasons_of(opinions, language) if ruling.outcome == "restricted" else ()
            body = json_bytes({"reasons": list(reasons), "text": write_notice(kind, reasons, language=language), "language": language})
            work.execute(sa.insert(notices), [{"post": post, "kind": kind, "at": work.now, "body": body} for post in told])
        if any(p.hold_open for p in mine):
            work.execute(_NO_HOLD, {"the_item": row.id})
        if appeal is not None:
            work.execute(sa.update(appeals).where(appeals.c.id == appeal.id).values(result=result, decided=work.now))

    def appeal(self, post: str, party: Party, grounds: str) -> str:
        """Ask that somebody else decides anew; gives back the item. The earlier outcome stands meanwhile.

        Args:
            post: the caller's name of the post.
            party: `author` against a restriction, `notifier` against an allowance.
            grounds: why.

        Raises:
            InputError: when the post is unknown, not decided, decided otherwise, or this party appealed before.
        """
        if party not in ("author", "notifier"):
            raise InputError(f"'{party}' cannot appeal: the parties are author and notifier")
        if len(grounds) > _MAX_TEXT:
            raise InputError(f"the grounds have {len(grounds)} characters; at most {_MAX_TEXT} are kept")
        against = "restricted" if party == "author" else "allowed"
        with self.store.write() as work:
            found = work.execute(sa.select(posts.c.id, posts.c.item).where(posts.c.external == post)).first()
            if found is None:
                raise InputError(f"post '{post}' was never in review, or its data was erased")
            row = self._row(work, found.item)
            if row.state == "open":
                raise InputError(f"post '{post}' is still being decided on; an appeal is possible when that is done")
            if row.outcome != against:
                raise InputError(f"post '{post}' is {row.outcome}: an appeal by the {party} is against {'a restriction' if party == 'author' else 'an allowance'}")
            if work.execute(sa.select(appeals.c.id).where(appeals.c.post == found.id, appeals.c.party == party)).first():
                raise InputError(f"the {party} of post '{post}' appealed before; each party can once")
            work.execute(sa.insert(appeals).values(
                item=row.id, post=found.id, round=row.round + 1, party=party, against=against, grounds=grounds.encode("utf-8", "surrogatepass"), at=work.now,
            ))  # fmt: skip
            due = work.now + self.settings.patience // dt.timedelta(microseconds=10)
            work.execute(sa.update(items).where(items.c.id == row.id).values(state="open", round=row.round + 1, opinions=0, seen=True, due=due, leased_to=None, lease_until=None))
            work.note("appealed", row.id, party, post=found.id, round=row.round + 1)
        return str(row.id)

    def lapse(self) -> int:
        """Write down which holds have passed their deadline, and tell the authors; gives back how many posts.

        The posts are allowed from the deadline on whether or not this runs: see `standing`.
        """
        with self.store.write() as work:
            late = posts.c.hold_open & (posts.c.held_until <= work.now)
            due = sa.select(posts.c.id, posts.c.item, items.c.language).join(items, items.c.id == posts.c.item).where(late).order_by(posts.c.held_until, posts.c.id).limit(5000)
            rows = list(work.execute(due.with_for_update(skip_locked=True, of=posts)))
            languages = {r.language: notice_language(r.language) for r in rows}
            bodies = {code: json_bytes({"reasons": [], "text": write_notice("lapsed", (), language=told), "language": told}) for code, told in languages.items()}
            for part in (rows[i : i + 500] for i in range(0, len(rows), 500)):
                work.execute(sa.update(posts).where(posts.c.id.in_([r.id for r in part])).values(hold_open=False))
                work.execute(sa.insert(notices), [{"post": r.id, "kind": "lapsed", "at": work.now, "body": bodies[r.language]} for r in part])
            for row in rows:
                work.note("lapsed", row.item, "system", post=row.id)
        return len(rows)

    # --- what stands -------------------------------------------------------------------------------------------------------------------

    def standing(self, post: str) -> Standing | None:
        """Whether a post may be seen, now; None for a post that never was in review (it may)."""
        with self.store.read() as connection:
            row = connection.execute(
                sa.select(items.c.id, items.c.kind, items.c.state, items.c.outcome, posts.c.held_until).join(items, items.c.id == posts.c.item).where(posts.c.external == post)
            ).first()
        if row is None:
            return None
        waiting = row.state == "open"
        if row.outcome == "restricted":
            return Standing("restricted", row.id, open=waiting)
        until = moment(row.held_until) if row.held_until is not None else None
        if row.outcome is None and waiting and until is not None and self.store.clock() < until:
            return Standing("held", row.id, until, open=True)
        return Standing("allowed", row.id, open=waiting)

    def opinions(self, item: str) -> tuple[Opinion, ...]:
        """All opinions on an item, for those who run the queue; reviewers never see them before they gave their own."""
        with self.store.read() as connection:
            return tuple(read_opinion(row) for row in connection.execute(sa.select(verdicts).where(verdicts.c.item == item).order_by(verdicts.c.id)))

    def notices(self, limit: int = 1000) -> list[Notice]:
        """What authors are still to be told, oldest first."""
        query = sa.select(notices, posts.c.external).join(posts, posts.c.id == notices.c.post).where(notices.c.delivered.is_(None)).order_by(notices.c.id).limit(limit)
        with self.store.read() as connection:
            out = []
            for row in connection.execute(query):
                body = json.loads(row.body)
                out.append(Notice(row.id, row.external, row.kind, moment(row.at), tuple(body["reasons"]), body["text"], body.get("language", ENGLISH)))
            return out

    def delivered(self, ids: Sequence[int]) -> None:
        """Mark notices as delivered."""
        with self.store.write() as work:
            work.execute(sa.update(notices).where(notices.c.id.in_(list(ids)), notices.c.delivered.is_(None)).values(delivered=work.now))

    # --- within ------------------------------------------------------------------------------------------------------------------------

    def _row(self, work: Work, item: str) -> Any:
        row = work.execute(_ROW, {"the_item": item}).first()
        if row is None:
            raise InputError(f"there is no item '{item}'. `review next` shows one, `review stats` how many wait")
        return row

    def _held(self, work: Work, item: str, reviewer: str) -> Any:
        """The item's row, locked, when this reviewer holds it."""
        row = self._row(work, item)
        if row.state != "open":
            raise InputError(f"item {item} is decided; an appeal would open it again")
        if work.execute(_SPOKEN, {"the_item": item, "who": reviewer}).first():
            raise InputError(f"item {item}: {reviewer} gave an opinion on it already; the next one comes from somebody else")
        if row.leased_to != reviewer:
            raise InputError(f"item {item} is not held by {reviewer}: the lease ended and it went on, or it was never claimed. Claim one with: review next")
        return row


def _labels(labels: Mapping[Category, bool | None]) -> str:
    """Answers as the tables and the trail hold them, in one order.

    Raises:
        InputError: when a key is no category or an answer no answer.
    """
    out = {}
    for category, value in sorted(labels.items(), key=lambda pair: str(pair[0])):
        try:
            out[Category(category).value] = _ANSWERS[value]
        except (ValueError, KeyError) as error:
            raise InputError(f"'{category}: {value}' is no answer. Categories: {', '.join(c.value for c in Category)}; answers: True, False, None") from error
    return json.dumps(out, separators=(",", ":"))


def read_labels(stored: str) -> dict[Category, bool | None]:
    """The reverse of how answers are stored."""
    back = {answer: value for value, answer in _ANSWERS.items()}
    return {Category(category): back[answer] for category, answer in json.loads(stored).items()}


def read_opinion(row: Any) -> Opinion:
    """An opinion from its row."""
    note = None if row.note is None else row.note.decode("utf-8", "surrogatepass")
    return Opinion(row.item, row.round, row.reviewer, read_labels(row.labels), bool(row.restrict), moment(row.at), row.seconds, note)


def _variants(connection: sa.Connection, item: str, copies: int) -> tuple[Variant, ...]:
    """The wordings of an item, the commonest first."""
    columns = (posts.c.text, posts.c.external)
    if copies == 1:
        row = connection.execute(_TEXT, {"the_item": item}).one()
        return (_variant(row, 1),)
    wording = sa.func.coalesce(posts.c.likeness, posts.c.id)
    groups = sa.select(wording.label("wording"), sa.func.count().label("n"), sa.func.min(posts.c.id).label("one")).where(posts.c.item == item, posts.c.text.is_not(None))
    rows = list(connection.execute(groups.group_by(wording).order_by(sa.desc("n"), wording)))
    found = {row.id: row for row in connection.execute(sa.select(posts.c.id, *columns).where(posts.c.id.in_([row.one for row in rows])))}
    return tuple(_variant(found[row.one], row.n) for row in rows)


def _variant(row: Any, copies: int) -> Variant:
    return Variant(None if row.text is None else row.text.decode("utf-8", "surrogatepass"), copies, row.external or "")


def _campaign(connection: sa.Connection, campaign: str) -> Campaign:
    when = sa.func.coalesce(posts.c.posted, posts.c.received)
    query = sa.select(sa.func.count().label("n"), sa.func.count(sa.distinct(posts.c.author)).label("authors"), sa.func.min(when).label("first"), sa.func.max(when).label("last"))
    row = connection.execute(query.join(items, items.c.id == posts.c.item).where(items.c.campaign == campaign)).one()
    return Campaign(row.n, row.authors or None, moment(row.first), moment(row.last))


def _worksheets(told: Mapping[str, Any]) -> Mapping[str, Worksheet]:
    """The legal tests that stored evidence calls for; none where an imported item came without an assessment, or with one of another form."""
    try:
        return legal_worksheets(Assessment.from_dict(told["assessment"]), Context(**told["context"]))
    except (TypeError, ValueError):
        return {}
