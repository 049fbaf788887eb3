"""How far people agree, how long they take, and how often they find what is known."""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import sqlalchemy as sa

from ipu_moderation.review.queue import read_opinion
from ipu_moderation.review.sampling import Figure, share_of
from ipu_moderation.review.schema import goldens, items, verdicts
from ipu_moderation.review.store import moment
from ipu_moderation.review.types import Opinion
from ipu_moderation.taxonomy import Category


def alpha(units: Iterable[Iterable[bool | None]]) -> float | None:
    """Krippendorff's alpha over yes and no: 1 is agreement, 0 what chance would give; None where it is not defined.

    Args:
        units: the answers on each item; None (cannot tell) does not count. Items with fewer than two answers say nothing.

    Source: Krippendorff, Content Analysis, 2004, ch. 11.
    """
    import krippendorff

    counts = [[answers.count(False), answers.count(True)] for unit in units if len(answers := [a for a in unit if a is not None]) >= 2]
    table = np.array(counts)  # (n_units, 2)
    if not counts or (table.sum(axis=0) == 0).any():
        return None  # all say the same: there is no disagreement that chance could give
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(krippendorff.alpha(value_counts=table, level_of_measurement="nominal"))


def doubled(connection: sa.Connection, since: int, until: int) -> list[tuple[str, list[Opinion]]]:
    """Language and first-round opinions of the items that were drawn for a second opinion: a random share, so that what they show holds for all.

    Items that got a second opinion because the first restricted are not among them; they would make people look less agreed than they are.
    """
    query = sa.select(verdicts, items.c.skill).join(items, items.c.id == verdicts.c.item)
    query = query.where(items.c.second, verdicts.c.round == 0, items.c.kind != "golden", verdicts.c.at >= since, verdicts.c.at < until)
    found: dict[str, tuple[str, list[Opinion]]] = {}
    for row in connection.execute(query.order_by(verdicts.c.id)):
        found.setdefault(row.item, (row.skill, []))[1].append(read_opinion(row))
    return [(language, opinions) for language, opinions in found.values() if len(opinions) >= 2]


def agreement(connection: sa.Connection, since: int, until: int) -> dict[str, Any]:
    """Alpha on whether to restrict and on each category, over all and by language, with the number of items."""
    every = doubled(connection, since, until)
    by_language: dict[str, list[list[Opinion]]] = defaultdict(list)
    for language, opinions in every:
        by_language[language].append(opinions[:2])
    pairs = [opinions[:2] for _, opinions in every]
    return {
        "items": len(pairs),
        "restrict": alpha([_restrict(o) for o in pair] for pair in pairs),
        "by_category": {c.value: alpha([o.labels.get(c) for o in pair] for pair in pairs) for c in Category},
        "by_language": {code: {"items": len(some), "restrict": alpha([_restrict(o) for o in pair] for pair in some)} for code, some in sorted(by_language.items())},
    }


def _restrict(opinion: Opinion) -> bool | None:
    return None if opinion.cannot_tell else opinion.restrict


def golden_results(connection: sa.Connection, since: int, until: int) -> dict[str, tuple[int, int]]:
    """By reviewer: golden items answered as known (whether to restrict), of all that were answered."""
    query = (
        sa.select(verdicts.c.reviewer, verdicts.c.restrict, goldens.c.restrict.label("known"))
        .join(items, items.c.id == verdicts.c.item)
        .join(goldens, goldens.c.id == items.c.golden)
    )
    right: Counter[str] = Counter()
    n: Counter[str] = Counter()
    for row in connection.execute(query.where(verdicts.c.at >= since, verdicts.c.at < until)):
        n[row.reviewer] += 1
        right[row.reviewer] += bool(row.restrict) == bool(row.known)
    return {reviewer: (right[reviewer], n[reviewer]) for reviewer in sorted(n)}


def golden_share(results: Mapping[str, tuple[int, int]]) -> Figure:
    """The share of right answers over all reviewers."""
    return share_of(sum(r for r, _ in results.values()), sum(n for _, n in results.values()))


def overview(connection: sa.Connection, now: int) -> dict[str, Any]:
    """What waits, how long, and who has done how much: for the person who runs the queue."""
    waiting = sa.select(
        items.c.skill, sa.func.count().label("n"), sa.func.min(items.c.received).label("oldest"), sa.func.sum(sa.case((items.c.due < now, 1), else_=0)).label("late")
    )
    holds = sa.select(sa.func.count().label("n"), sa.func.min(items.c.held_until).label("next")).where(items.c.state == "open", items.c.outcome.is_(None), items.c.held_until > now)
    held = connection.execute(holds).one()
    people = sa.select(verdicts.c.reviewer, sa.func.count().label("n")).group_by(verdicts.c.reviewer).order_by(verdicts.c.reviewer)
    times: dict[str, list[float]] = defaultdict(list)
    for row in connection.execute(sa.select(verdicts.c.reviewer, verdicts.c.seconds).where(verdicts.c.seconds.is_not(None))):
        times[row.reviewer].append(row.seconds)
    golden = golden_results(connection, 0, 1 << 62)
    return {
        "waiting": [
            {"language": row.skill, "items": row.n, "late": int(row.late or 0), "oldest": moment(row.oldest).isoformat(timespec="minutes")}
            for row in connection.execute(waiting.where(items.c.state == "open").group_by(items.c.skill).order_by(sa.desc("n")))
        ],
        "holds": {"items": held.n, "next_deadline": None if held.next is None else moment(held.next).isoformat(timespec="minutes")},
        "reviewers": [
            {"reviewer": row.reviewer, "verdicts": row.n, "median_seconds": float(np.median(times[row.reviewer])) if times.get(row.reviewer) else None,
             "golden_right": golden.get(row.reviewer, (None, 0))[0], "golden": golden.get(row.reviewer, (None, 0))[1]}
            for row in connection.execute(people)
        ],
        "agreement": agreement(connection, 0, 1 << 62),
    }  # fmt: skip
