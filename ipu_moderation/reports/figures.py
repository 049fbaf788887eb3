"""The numbers of a transparency report, each with n and an interval. Nothing here holds a text, a post's name or a person."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import sqlalchemy as sa

from ipu_moderation.errors import InputError
from ipu_moderation.review.agreement import agreement, golden_results, golden_share
from ipu_moderation.review.audit import entries as audit_entries
from ipu_moderation.review.audit import verify_chain
from ipu_moderation.review.sampling import Draw, Figure, Missed, estimate_missed, share_of
from ipu_moderation.review.schema import appeals, items, notices, posts, tallies, verdicts
from ipu_moderation.review.store import Store, microseconds
from ipu_moderation.taxonomy import Category

FORMAT = 1
FEW = 5
"""With fewer cases in a cell no share is given: it would say little, and might tell of a person."""


def collect(store: Store, since: dt.datetime, until: dt.datetime) -> dict[str, Any]:
    """All figures for the posts received in the half-open time from `since` to `until`, ready for JSON.

    Raises:
        InputError: when the time is empty.
    """
    if until <= since:
        raise InputError("the report's end must lie after its beginning")
    start, end = microseconds(since), microseconds(until)
    with store.read() as connection:
        rows = _cases(connection, start, end)
        volumes = _volumes(connection, since, until)
        chain = verify_chain(audit_entries(connection))
        return {
            "format": FORMAT,
            "period": {"since": since.isoformat(timespec="seconds"), "until": until.isoformat(timespec="seconds")},
            "made": store.clock().isoformat(timespec="seconds"),
            "volumes": volumes,
            "policies": sorted({row["policy"] for row in rows} | set(volumes["by_policy"])),
            "reviewed": _reviewed(rows),
            "holds": _holds(connection, start, end),
            "appeals": _appeals(connection, start, end),
            "time_to_decision": _times(connection, rows, start, end),
            "missed": _missed(connection, rows, volumes),
            "agreement": agreement(connection, start, end),
            "golden": golden_share(golden_results(connection, start, end)).to_dict(),
            "audit": {"entries": chain.entries, "head": chain.head, "sound": chain.sound},
        }


def _cases(connection: sa.Connection, start: int, end: int) -> list[dict[str, Any]]:
    """Items with their first outcome and their latest one; golden items are not cases."""
    query = sa.select(
        items.c.id, items.c.kind, items.c.skill, items.c.category, items.c.target, items.c.action, items.c.policy, items.c.received, items.c.outcome, items.c.state,
        items.c.probability, items.c.copies,
    ).where(items.c.kind != "golden", items.c.received >= start, items.c.received < end)  # fmt: skip
    found = {row.id: {**row._mapping, "first": row.outcome, "labels": {}} for row in connection.execute(query)}
    for row in connection.execute(sa.select(appeals.c.item, appeals.c.round, appeals.c.against).where(appeals.c.round == 1)):
        if row.item in found:
            found[row.item]["first"] = row.against
    for verdict in connection.execute(sa.select(verdicts.c.item, verdicts.c.labels).where(verdicts.c.round == 0).order_by(verdicts.c.id)):
        if verdict.item in found:
            for category, answer in json.loads(verdict.labels).items():
                found[verdict.item]["labels"].setdefault(category, Counter())[answer] += 1
    return list(found.values())


def _volumes(connection: sa.Connection, since: dt.datetime, until: dt.datetime) -> dict[str, Any]:
    """How many posts were decided how; days count whole, in UTC."""
    first, last = (when.astimezone(dt.timezone.utc).date().isoformat() for when in (since, until - dt.timedelta(microseconds=1)))
    counts: dict[str, Counter[str]] = {name: Counter() for name in ("action", "language", "category", "policy")}
    table: dict[str, Counter[str]] = defaultdict(Counter)
    total = 0
    for row in connection.execute(sa.select(tallies).where(tallies.c.day >= first, tallies.c.day <= last)):
        total += row.n
        table[row.language.split("-")[0]][row.action] += row.n
        counts["action"][row.action] += row.n
        counts["policy"][row.policy] += row.n
        if row.category:
            counts["category"][row.category] += row.n
    by_language = {code: {a: c[a] for a in ("allow", "review", "hold")} | {"touched": _few(c["review"] + c["hold"], sum(c.values()))} for code, c in sorted(table.items())}
    return {
        "posts": total,
        "by_action": {a: counts["action"][a] for a in ("allow", "review", "hold")},
        "by_category": {c.value: counts["category"][c.value] for c in Category if counts["category"][c.value]},
        "by_policy": dict(sorted(counts["policy"].items())),
        "by_language": by_language,
        "held": _few(counts["action"]["hold"], total),
    }


def _few(successes: int, n: int) -> dict[str, Any]:
    """A share, or none with fewer than `FEW` cases."""
    return (share_of(successes, n) if n >= FEW else Figure(None, None, None, n)).to_dict()


def _reviewed(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Of what the machine sent to people: what people made of it."""
    sent = [row for row in rows if row["kind"] == "post"]
    decided = [row for row in sent if row["first"] is not None]

    def by(name: str, some: Iterable[dict[str, Any]]) -> dict[str, Any]:
        groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in some:
            if row[name] is not None:
                groups[row[name]].append(row)
        return {key: _precision(group) for key, group in sorted(groups.items())}

    return {
        "items": len(sent),
        "posts": sum(row["copies"] for row in sent),
        "decided": len(decided),
        "open": sum(row["first"] is None and row["state"] == "open" for row in sent),
        "all": _precision(decided),
        "by_action": by("action", decided),
        "by_language": by("skill", decided),
        "by_category": by("category", decided),
        "by_target": by("target", decided),
        "category_confirmed": {c.value: _confirmed(decided, c) for c in Category if any(row["category"] == c.value for row in decided)},
    }


def _precision(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """`restricted`: the machine's finding led to a restriction. `wrongly_touched`: people found no reason for one."""
    n = len(rows)
    restricted = sum(row["first"] == "restricted" for row in rows)
    return {"n": n, "restricted": _few(restricted, n), "wrongly_touched": _few(n - restricted, n)}


def _confirmed(rows: list[dict[str, Any]], category: Category) -> dict[str, Any]:
    """Of the items sent for a category: how often most people who answered said that it is one, restricted or not."""
    yes = n = 0
    for row in rows:
        answers = row["labels"].get(category.value)
        if row["category"] == category.value and answers and answers["yes"] != answers["no"]:
            n += 1
            yes += answers["yes"] > answers["no"]
    return _few(yes, n)


def _holds(connection: sa.Connection, start: int, end: int) -> dict[str, Any]:
    """What became of posts that were kept back."""
    held = sa.select(posts.c.id).where(posts.c.held_until.is_not(None), posts.c.received >= start, posts.c.received < end)
    n = connection.execute(sa.select(sa.func.count()).select_from(held.subquery())).scalar_one()
    kinds = {
        row.kind: row.n
        for row in connection.execute(sa.select(notices.c.kind, sa.func.count(sa.distinct(notices.c.post)).label("n")).where(notices.c.post.in_(held)).group_by(notices.c.kind))
    }
    return {"posts": n, **{kind: {"n": kinds.get(kind, 0), "share": _few(kinds.get(kind, 0), n)} for kind in ("restricted", "released", "lapsed")}}


def _appeals(connection: sa.Connection, start: int, end: int) -> dict[str, Any]:
    """Appeals made in the time, and how they ended."""
    query = sa.select(appeals.c.party, appeals.c.result, items.c.skill, items.c.category, items.c.target).join(items, items.c.id == appeals.c.item)
    rows = [dict(row._mapping) for row in connection.execute(query.where(appeals.c.at >= start, appeals.c.at < end))]
    restricted = sa.select(sa.func.count()).select_from(items).where(items.c.kind != "golden", items.c.received >= start, items.c.received < end)
    ever = connection.execute(
        restricted.where(sa.or_(items.c.outcome == "restricted", items.c.id.in_(sa.select(appeals.c.item).where(appeals.c.against == "restricted"))))
    ).scalar_one()
    of_them = connection.execute(restricted.where(items.c.id.in_(sa.select(appeals.c.item).where(appeals.c.against == "restricted")))).scalar_one()

    def overturned(some: list[dict[str, Any]]) -> dict[str, Any]:
        done = [row for row in some if row["result"] is not None]
        return {"made": len(some), "decided": len(done), "overturned": _few(sum(row["result"] == "overturned" for row in done), len(done))}

    def by(name: str) -> dict[str, Any]:
        groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in rows:
            if row[name] is not None:
                groups[row[name]].append(row)
        return {key: overturned(group) for key, group in sorted(groups.items())}

    return {"all": overturned(rows), "appealed": _few(of_them, ever), "by_party": by("party"), "by_language": by("skill"), "by_category": by("category"), "by_target": by("target")}


def _times(connection: sa.Connection, rows: list[dict[str, Any]], start: int, end: int) -> dict[str, Any]:
    """Hours from arrival to the first verdict and to the first outcome, and seconds that people took."""
    ids = {row["id"]: row for row in rows}
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    seconds: list[float] = []
    for row in connection.execute(sa.select(verdicts.c.item, verdicts.c.at, verdicts.c.round, verdicts.c.seconds)):
        if row.item in ids and row.round == 0:
            first[row.item] = min(row.at, first.get(row.item, row.at))
            last[row.item] = max(row.at, last.get(row.item, row.at))
            if row.seconds is not None:
                seconds.append(row.seconds)
    hours = [(at - ids[item]["received"]) / 3.6e9 for item, at in first.items()]
    decided: dict[str, list[float]] = defaultdict(list)
    for item, at in last.items():
        if ids[item]["first"] is not None:
            decided[ids[item]["skill"]].append((at - ids[item]["received"]) / 3.6e9)
    every = [value for values in decided.values() for value in values]
    return {
        "first_verdict_hours": _quantiles(hours), "decision_hours": _quantiles(every), "by_language": {code: _quantiles(values) for code, values in sorted(decided.items())},
        "verdict_seconds": _quantiles(seconds),
    }  # fmt: skip


def _quantiles(values: list[float]) -> dict[str, Any]:
    """Median and 90th percentile; the median's interval by order statistics (exact, binomial)."""
    if len(values) < FEW:
        return {"median": None, "low": None, "high": None, "p90": None, "n": len(values)}
    from scipy.stats import binom  # type: ignore[import-untyped]

    ordered = np.sort(values)
    at = int(binom.ppf(0.025, len(ordered), 0.5))
    return {
        "median": round(float(np.median(ordered)), 4), "low": round(float(ordered[at]), 4), "high": round(float(ordered[-1 - at]), 4),
        "p90": round(float(np.quantile(ordered, 0.9)), 4), "n": len(ordered),
    }  # fmt: skip


def _missed(connection: sa.Connection, rows: list[dict[str, Any]], volumes: Mapping[str, Any]) -> dict[str, Any]:
    """What was allowed and should not have been, from the random sample."""
    sample = [row for row in rows if row["kind"] == "sample"]
    unsure = _unsure(connection, [row["id"] for row in sample])

    def draw(row: dict[str, Any]) -> Draw:
        return Draw(row["probability"], None if row["first"] is None or row["id"] in unsure else row["first"] == "restricted")

    def shown(some: Iterable[dict[str, Any]], population: int) -> dict[str, Any]:
        found: Missed = estimate_missed(map(draw, some), population)
        return {
            "share": found.share.to_dict(), "posts": None if found.total is None else round(found.total, 1), "drawn": found.drawn, "answered": found.answered,
            "allowed_posts": found.population,
        }  # fmt: skip

    select: Callable[[str], list[dict[str, Any]]] = lambda code: [row for row in sample if row["skill"] == code]  # noqa: E731
    languages = {code: counts["allow"] for code, counts in volumes["by_language"].items() if select(code)}
    return {"all": shown(sample, volumes["by_action"]["allow"]), "by_language": {code: shown(select(code), n) for code, n in languages.items()}}


def _unsure(connection: sa.Connection, ids: list[str]) -> set[str]:
    """Samples about which nobody could tell."""
    told: dict[str, bool] = {}
    for part in (ids[i : i + 500] for i in range(0, len(ids), 500)):
        for row in connection.execute(sa.select(verdicts.c.item, verdicts.c.labels, verdicts.c.restrict).where(verdicts.c.item.in_(part))):
            answered = bool(row.restrict) or any(a != "cannot_tell" for a in json.loads(row.labels).values())
            told[row.item] = told.get(row.item, False) or answered
    return {item for item, answered in told.items() if not answered}


def span_of(store: Store) -> tuple[dt.datetime, dt.datetime]:
    """From the first day that was counted to now, for a report over everything.

    Raises:
        InputError: when there is nothing to report.
    """
    with store.read() as connection:
        first = connection.execute(sa.select(sa.func.min(tallies.c.day))).scalar()
    if first is None:
        raise InputError("nothing was ever handed over to this database: there is nothing to report")
    return dt.datetime.fromisoformat(f"{first}T00:00:00+00:00"), store.clock()
