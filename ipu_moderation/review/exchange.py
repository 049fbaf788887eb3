"""Files in and out: Label Studio tasks, CSV for spreadsheets, Coop-style reports, and verdicts as training data. What is written can be read again whole.

Every format carries the same `Record`: one item with its posts, what the machine made of it, and every opinion. Authors leave as the pseudonyms
under which they are stored; a pseudonym that comes back is kept as it is.
"""

from __future__ import annotations

import csv
import datetime as dt
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from ipu_moderation.errors import InputError
from ipu_moderation.normalise import normalise
from ipu_moderation.personal import mask_personal_data
from ipu_moderation.review.privacy import Pseudonym
from ipu_moderation.review.queue import ReviewQueue, read_opinion
from ipu_moderation.review.schema import items, posts, verdicts
from ipu_moderation.review.store import Store, moment
from ipu_moderation.review.types import Opinion, Post, Source, Submission
from ipu_moderation.taxonomy import Category, TargetGroup, Tier
from ipu_moderation.types import Action, Assessment, Context, Decision, LabelledText, Language, Verdict

_ANSWER = {True: "yes", False: "no", None: "cannot_tell"}
_VALUE = {answer: value for value, answer in _ANSWER.items()}
_PSEUDONYM = re.compile(r"a-[0-9a-f]{32}")
SOURCES: tuple[Source, ...] = ("own_initiative", "notice", "trusted_notifier", "other_notice")


@dataclass(frozen=True, slots=True)
class Copy:
    """One post of an item, as files carry it."""

    id: str
    text: str = field(repr=False)
    author: str | None = None
    """A pseudonym, or the caller's name when the file came from elsewhere."""
    posted: str | None = None
    """ISO 8601."""
    source: Source = "own_initiative"


@dataclass(frozen=True, slots=True)
class Said:
    """One opinion, as files carry it."""

    reviewer: str
    labels: Mapping[Category, bool | None]
    restrict: bool
    note: str = field(default="", repr=False)
    at: str | None = None
    """ISO 8601."""


@dataclass(frozen=True, slots=True)
class Record:
    """One item, as files carry it."""

    item: str
    language: str
    posts: tuple[Copy, ...]
    action: Action = Action.REVIEW
    priority: float = 0.5
    category: Category | None = None
    reasons: tuple[str, ...] = ()
    policy: str = "import@1"
    versions: Mapping[str, str] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)
    expires_after_seconds: float | None = None
    assessment: Mapping[str, Any] | None = None
    opinions: tuple[Said, ...] = ()


def records(store: Store, *, settled: bool | None = None) -> Iterator[Record]:
    """All items, oldest first, without golden ones and without those whose texts were deleted.

    Args:
        store: the database.
        settled: only those that are decided, or only those that are not; both when None.
    """
    query = sa.select(items).where(items.c.kind != "golden").order_by(items.c.received, items.c.id)
    if settled is not None:
        query = query.where(items.c.state == ("settled" if settled else "open"))
    with store.read() as connection:
        for row in connection.execute(query).all():
            copies = connection.execute(sa.select(posts).where(posts.c.item == row.id, posts.c.text.is_not(None)).order_by(posts.c.received, posts.c.id)).all()
            if copies:
                said = [read_opinion(v) for v in connection.execute(sa.select(verdicts).where(verdicts.c.item == row.id).order_by(verdicts.c.id))]
                yield _record(row, copies, said)


def masked(record: Record) -> Record:
    """The record without personal data in its texts and notes: a dot for each character, so that the spans of findings stay right."""
    return replace(
        record,
        posts=tuple(replace(post, text=mask_personal_data(post.text, keep_length=True)) for post in record.posts),
        opinions=tuple(replace(said, note=mask_personal_data(said.note, keep_length=True)) for said in record.opinions),
    )


def _record(row: Any, copies: Iterable[Any], said: Iterable[Opinion]) -> Record:
    told = json.loads(row.evidence)
    return Record(
        item=row.id,
        language=row.language,
        posts=tuple(Copy(c.external, c.text.decode("utf-8", "surrogatepass"), c.author, None if c.posted is None else moment(c.posted).isoformat(), c.source) for c in copies),
        action=Action(row.action),
        priority=row.priority,
        category=Category(row.category) if row.category else None,
        reasons=tuple(told["reasons"]),
        policy=row.policy,
        versions=told["versions"],
        context=told["context"],
        expires_after_seconds=told["expires_after_seconds"],
        assessment=told["assessment"],
        opinions=tuple(Said(o.reviewer, dict(o.labels), o.restrict, o.note or "", o.at.isoformat()) for o in said),
    )


@dataclass(frozen=True, slots=True)
class Imported:
    """What `import_records` did."""

    queued: int
    allowed: int
    verdicts: int
    refused: tuple[str, ...]
    """Verdicts that the queue did not take, with the reason."""


def import_records(queue: ReviewQueue, found: Iterable[Record]) -> Imported:
    """Put records into a queue: posts that are new are queued, opinions that are new are recorded as verdicts of the persons named.

    A restriction that comes in this way needs two persons, as any other; an item that somebody holds is not taken from them.

    Raises:
        InputError: see `ReviewQueue.submit_many`.
    """
    queued = allowed = given = 0
    refused: list[str] = []
    for record in found:
        first = _submissions(record)
        places = queue.submit_many(first)
        item = next((place for place in places if place is not None), None)
        queued += sum(place is not None for place in places)
        allowed += sum(place is None for place in places)
        if item is None:
            continue
        known = {o.reviewer for o in queue.opinions(item)}
        for said in record.opinions:
            if said.reviewer in known:
                continue
            try:
                queue.adopt(Verdict(item, said.labels, said.restrict, said.reviewer, said.note), None if said.at is None else _when(said.at))
                given += 1
            except InputError as error:
                refused.append(str(error))
    return Imported(queued, allowed, given, tuple(refused))


def _submissions(record: Record) -> list[Submission]:
    expires = dt.timedelta(seconds=record.expires_after_seconds) if record.expires_after_seconds else None
    action = record.action if record.action is not Action.HOLD or expires is not None else Action.REVIEW  # a hold without a deadline is none
    decision = Decision(action, record.priority, record.category, record.reasons, record.policy, record.versions, expires if action is Action.HOLD else None)
    out = []
    for copy in record.posts:
        text = normalise(copy.text)
        assessment = (
            replace(Assessment.from_dict(record.assessment), text=text)
            if record.assessment is not None
            else Assessment(text, Language(record.language, 0.0), {}, {}, (), Tier.NONE, record.versions, False)
        )
        author = Pseudonym(copy.author) if copy.author is not None and _PSEUDONYM.fullmatch(copy.author) else copy.author
        out.append(Submission(Post(copy.id, copy.text, author, None if copy.posted is None else _when(copy.posted), copy.source), assessment, decision, Context(**record.context)))
    return out


def _when(text: str) -> dt.datetime:
    try:
        when = dt.datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError as error:
        raise InputError("a time is not ISO 8601, for example 2026-03-01T12:00:00+00:00") from error
    return when if when.tzinfo else when.replace(tzinfo=dt.timezone.utc)


def _plain(record: Record) -> dict[str, Any]:
    """All of a record but its posts and opinions, JSON-ready."""
    return {
        "item": record.item, "language": record.language, "action": record.action.value, "priority": record.priority,
        "category": record.category.value if record.category else None,
        "reasons": list(record.reasons), "policy": record.policy, "versions": dict(record.versions), "context": dict(record.context),
        "expires_after_seconds": record.expires_after_seconds, "assessment": record.assessment,
    }  # fmt: skip


def _from_plain(data: Mapping[str, Any], copies: tuple[Copy, ...], opinions: tuple[Said, ...]) -> Record:
    return Record(
        item=str(data.get("item", copies[0].id)),
        language=str(data.get("language") or "und"),
        posts=copies,
        action=Action(data.get("action", "review")),
        priority=float(data.get("priority", 0.5)),
        category=Category(data["category"]) if data.get("category") else None,
        reasons=tuple(data.get("reasons", ())),
        policy=str(data.get("policy", "import@1")),
        versions=data.get("versions", {}),
        context=data.get("context", {}),
        expires_after_seconds=data.get("expires_after_seconds"),
        assessment=data.get("assessment"),
        opinions=opinions,
    )


# --- Label Studio ----------------------------------------------------------------------------------------------------------------------------


def label_studio_config() -> str:
    """The labelling interface that fits the tasks, to be pasted into a Label Studio project."""
    rows = [
        f'  <Header value="{c.guideline}"/>\n  <Choices name="{c.value}" toName="text" choice="single">'
        '<Choice value="yes"/><Choice value="no"/><Choice value="cannot_tell"/></Choices>'
        for c in Category
    ]
    last = '  <Header value="Must the post be restricted?"/>\n  <Choices name="restrict" toName="text" choice="single"><Choice value="yes"/><Choice value="no"/></Choices>'
    return "\n".join(["<View>", '  <Text name="text" value="$text"/>', *rows, last, '  <TextArea name="note" toName="text"/>', "</View>"])


def to_label_studio(record: Record) -> dict[str, Any]:
    """A task with its annotations. The machine's view goes along as data, not as a prediction that would sway the reader."""
    return {
        "data": {"text": record.posts[0].text, "posts": [_copy(c) for c in record.posts], "ipu_moderation": _plain(record)},
        "annotations": [{"completed_by": said.reviewer, "created_at": said.at, "was_cancelled": False, "result": _results(said)} for said in record.opinions],
    }


def _results(said: Said) -> list[dict[str, Any]]:
    def choice(name: str, value: str) -> dict[str, Any]:
        return {"from_name": name, "to_name": "text", "type": "choices", "value": {"choices": [value]}}

    out = [choice(category.value, _ANSWER[value]) for category, value in said.labels.items()] + [choice("restrict", "yes" if said.restrict else "no")]
    return out + ([{"from_name": "note", "to_name": "text", "type": "textarea", "value": {"text": [said.note]}}] if said.note else [])


def from_label_studio(task: Mapping[str, Any]) -> Record:
    """A task as this package or Label Studio exported it; `data.text` is enough.

    Raises:
        KeyError, ValueError, TypeError: when it is none.
    """
    data = task["data"]
    copies = tuple(_read_copy(c) for c in data["posts"]) if "posts" in data else (_read_copy({"id": data.get("id", task.get("id")), "text": data["text"]}),)
    said = tuple(_annotation(a) for a in task.get("annotations", ()) if not a.get("was_cancelled"))
    return _from_plain({"language": data.get("language"), **data.get("ipu_moderation", {})}, copies, said)


def _annotation(annotation: Mapping[str, Any]) -> Said:
    who = annotation["completed_by"]
    who = str(who.get("email") or who["id"]) if isinstance(who, dict) else str(who)
    labels: dict[Category, bool | None] = {}
    restrict, note = False, ""
    for result in annotation["result"]:
        name, value = result["from_name"], result["value"]
        if name == "restrict":
            restrict = value["choices"][0] == "yes"
        elif name == "note":
            note = "\n".join(value["text"])
        elif name in Category._value2member_map_:
            labels[Category(name)] = _VALUE[value["choices"][0]]
    return Said(who, labels, restrict, note, annotation.get("created_at"))


def _copy(copy: Copy) -> dict[str, Any]:
    return {"id": copy.id, "text": copy.text, "author": copy.author, "posted": copy.posted, "source": copy.source}


def _read_copy(data: Mapping[str, Any]) -> Copy:
    source = data.get("source", "own_initiative")
    if source not in SOURCES:
        raise ValueError(f"no source: {source}")
    if not isinstance(data["text"], str):
        raise TypeError("the text is no string")
    return Copy(str(data["id"]), data["text"], data.get("author"), data.get("posted"), source)


# --- Coop-style reports ----------------------------------------------------------------------------------------------------------------------


def to_coop(record: Record) -> list[dict[str, Any]]:
    """Reports, one a post, in the form that Coop's `POST /api/v1/report` takes."""
    out = []
    for i, copy in enumerate(record.posts):
        data = {
            "text": copy.text,
            "ipu_moderation": {**_copy(copy), "record": _plain(record), "opinions": [_said(s) for s in record.opinions]} if i == 0 else {**_copy(copy), "of": record.item},
        }
        report: dict[str, Any] = {
            "reporter": {"kind": "user", "typeId": "system", "id": "ipu-moderation"},
            "reportedAt": copy.posted,
            "reportedForReason": {"policyId": record.category.value if record.category else None, "reason": " ".join(record.reasons), "csam": False},
            "reportedItem": {"id": copy.id, "typeId": "post", "data": data},
        }
        out.append(report)
    return out


def from_coop(reports: Iterable[Mapping[str, Any]]) -> Iterator[Record]:
    """Records from reports; those that this package wrote come back whole, others become items for review.

    Raises:
        KeyError, ValueError, TypeError: when one is no report.
    """
    whole: dict[str, Record] = {}
    for report in reports:
        item = report["reportedItem"]
        own = item["data"].get("ipu_moderation")
        if own is None:
            reason = report.get("reportedForReason") or {}
            policy = reason.get("policyId")
            text = item["data"].get("text", item["data"].get("content"))
            copy = _read_copy({"id": item["id"], "text": text, "source": "notice", "posted": None})
            category = Category(str(policy)) if policy in Category._value2member_map_ else None
            # the reporter's own words may hold personal data; they are not carried into reasons that others read
            whole[f"report {len(whole)}"] = Record(str(item["id"]), "und", (copy,), category=category, reasons=("Reported by a person.",), policy="coop-report@1")
        elif "record" in own:
            whole[own["record"]["item"]] = _from_plain(own["record"], (_read_copy(own),), tuple(_read_said(s) for s in own["opinions"]))
        else:
            first = whole[own["of"]]
            whole[own["of"]] = replace(first, posts=(*first.posts, _read_copy(own)))
    yield from whole.values()


def _said(said: Said) -> dict[str, Any]:
    return {"reviewer": said.reviewer, "labels": {c.value: _ANSWER[v] for c, v in said.labels.items()}, "restrict": said.restrict, "note": said.note, "at": said.at}


def _read_said(data: Mapping[str, Any]) -> Said:
    return Said(data["reviewer"], {Category(c): _VALUE[v] for c, v in data["labels"].items()}, bool(data["restrict"]), data["note"], data["at"])


# --- CSV -------------------------------------------------------------------------------------------------------------------------------------

_CSV = (
    "item",
    "post",
    "text",
    "language",
    "author",
    "posted",
    "source",
    "action",
    "category",
    "reasons",
    "reviewer",
    "restrict",
    *(c.value for c in Category),
    "note",
    "at",
    "details",
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")
"""Beginnings that a spreadsheet would run; a quotation mark is put before them, and taken away when read."""


def to_csv(record: Record) -> Iterator[dict[str, str]]:
    """Rows: one for each post and each opinion, so that people may fill in `reviewer`, `restrict` and the categories by hand."""
    details = json.dumps(_plain(record), separators=(",", ":"))
    for copy in record.posts:
        for said in record.opinions or (None,):
            row = {
                "item": record.item, "post": copy.id, "text": copy.text, "language": record.language, "author": copy.author or "", "posted": copy.posted or "",
                "source": copy.source,
                "action": record.action.value, "category": record.category.value if record.category else "", "reasons": " ".join(record.reasons), "details": details,
            }  # fmt: skip
            if said is not None:
                row |= {"reviewer": said.reviewer, "restrict": "yes" if said.restrict else "no", "note": said.note, "at": said.at or ""}
                row |= {category.value: _ANSWER[value] for category, value in said.labels.items()}
            yield {name: "'" + value if value.startswith(_FORMULA) else value for name, value in row.items()}


def from_csv(rows: Iterable[Mapping[str, str]]) -> Iterator[Record]:
    """Records from rows; the columns `post` (or `id`) and `text` are enough.

    Raises:
        KeyError, ValueError, TypeError: when a row is none.
    """
    whole: dict[str, tuple[dict[str, Any], dict[str, Copy], dict[str, Said]]] = {}
    for number, raw in enumerate(rows, 1):
        row = {name: value[1:] if value.startswith("'") and value[1:].startswith(_FORMULA) else value for name, value in raw.items() if isinstance(value, str)}
        post = row.get("post") or row.get("id") or str(number)
        item = row.get("item") or post
        details = json.loads(row["details"]) if row.get("details") else {k: row[k] for k in ("language", "category", "action") if row.get(k)}
        plain, copies, opinions = whole.setdefault(item, ({"item": item, **details}, {}, {}))
        copies[post] = _read_copy(
            {"id": post, "text": row["text"], "author": row.get("author") or None, "posted": row.get("posted") or None, "source": row.get("source") or "own_initiative"}
        )
        if row.get("reviewer"):
            labels = {c: _VALUE[row[c.value]] for c in Category if row.get(c.value)}
            opinions[row["reviewer"]] = Said(row["reviewer"], labels, {"yes": True, "no": False}[row.get("restrict") or "no"], row.get("note", ""), row.get("at") or None)
    for plain, copies, opinions in whole.values():
        yield _from_plain(plain, tuple(copies.values()), tuple(opinions.values()))


# --- assessments that `assess` wrote ---------------------------------------------------------------------------------------------------------


def from_assessment(row: Mapping[str, Any]) -> Record:
    """A row of `ipu-moderation assess --show-text -o FILE.jsonl`.

    Raises:
        KeyError, ValueError, TypeError: when it is none; KeyError('text') when the texts were not written.
    """
    decision = row["decision"]
    assessment = {k: v for k, v in row.items() if k not in ("id", "text", "decision")}
    data = {
        "item": row["id"], "language": row["language"]["code"], "action": decision["action"], "priority": decision["priority"], "category": decision["category"],
        "reasons": decision["reasons"], "policy": decision["policy"], "versions": row["versions"], "expires_after_seconds": decision["expires_after_seconds"],
        "assessment": assessment,
    }  # fmt: skip
    copy = _read_copy({"id": row["id"], "text": row["text"], "author": row.get("author"), "posted": row.get("posted")})
    return _from_plain(data, (copy,), ())


# --- files -----------------------------------------------------------------------------------------------------------------------------------

FORMATS = ("label-studio", "csv", "coop", "labels")


def read_records(path: Path) -> list[Record]:
    """Records of a file; which format it is shows in the file: .csv, or JSON / JSONL of tasks, reports or assessments.

    Raises:
        InputError: naming the file and the row.
    """
    csv.field_size_limit(sys.maxsize)
    try:
        if path.suffix == ".csv":
            with path.open(encoding="utf-8-sig", errors="surrogatepass", newline="") as stream:
                rows: list[Any] = list(csv.DictReader(stream))
            missing = {"text"} - set(rows[0] if rows else {"text"})
            if missing:
                raise InputError(f"{path}: there is no column 'text'. The columns are: {', '.join(rows[0])}")
            return _each(path, [rows], lambda every: from_csv(every))
        data = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not readable as UTF-8: {type(error).__name__}") from error
    rows = _json_rows(path, data)
    if rows and isinstance(rows[0], dict) and "reportedItem" in rows[0]:
        return _each(path, [rows], from_coop)
    one = from_label_studio if rows and isinstance(rows[0], dict) and "data" in rows[0] else from_assessment
    return _each(path, rows, lambda row: [one(row)])


def _json_rows(path: Path, data: str) -> list[Any]:
    try:
        whole = json.loads(data)
        return whole if isinstance(whole, list) else [whole]
    except ValueError:
        rows = []
        for number, line in enumerate(filter(str.strip, data.split("\n")), 1):
            try:
                rows.append(json.loads(line))
            except ValueError as error:
                raise InputError(f"{path}, row {number}: broken JSON") from error
        return rows


def _each(path: Path, rows: Iterable[Any], read: Callable[[Any], Iterable[Record]]) -> list[Record]:
    out: list[Record] = []
    for number, row in enumerate(rows, 1):
        try:
            out += read(row)
        except KeyError as error:
            remedy = " (write the texts with: ipu-moderation assess INPUT --show-text -o FILE.jsonl)" if error.args == ("text",) else ""
            raise InputError(
                f"{path}, row {number}: there is no {error}{remedy}. Readable are: tasks of Label Studio, Coop-style reports, CSV with post and text, assessments with texts"
            ) from error
        except (ValueError, TypeError, AttributeError) as error:
            raise InputError(f"{path}, row {number}: {type(error).__name__}: not a task, report or assessment as this package or Label Studio writes it") from error
    return out


def write_records(found: Iterable[Record], path: Path, form: str) -> int:
    """Write records; returns how many. The file appears under its name only when it is whole.

    Raises:
        InputError: when the format is unknown or the directory missing.
    """
    if form not in ("label-studio", "csv", "coop"):
        raise InputError(f"there is no format '{form}'. The formats are: {', '.join(FORMATS)}")
    if not path.parent.is_dir():
        raise InputError(f"{path.parent}: no such directory")
    n, part = 0, path.with_name(f".{path.name}.part")
    try:
        with part.open("w", encoding="utf-8", errors="surrogatepass", newline="") as stream:
            if form == "csv":
                table = csv.DictWriter(stream, _CSV, restval="")
                table.writeheader()
                for n, record in enumerate(found, 1):  # noqa: B007
                    table.writerows(to_csv(record))
            else:
                rows = []
                for n, record in enumerate(found, 1):  # noqa: B007
                    rows += [to_label_studio(record)] if form == "label-studio" else to_coop(record)
                json.dump(rows, stream, ensure_ascii=True, indent=1)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return n


# --- training data ---------------------------------------------------------------------------------------------------------------------------


def labelled(store: Store) -> Iterator[LabelledText]:
    """Verdicts as training data: each decided wording once, a category answered by the majority, None where people tie or cannot tell.

    Golden items are not among them: their answers were known, and whoever wrote them has them.
    """
    for record in records(store, settled=True):
        votes: dict[Category, Counter[bool]] = {}
        for said in record.opinions:
            for category, value in said.labels.items():
                if value is not None:
                    votes.setdefault(category, Counter())[value] += 1
        if not votes:
            continue
        labels: dict[Category, bool | None] = {c: None if v[True] == v[False] else v[True] > v[False] for c, v in votes.items()}
        target = _target(record) if labels.get(Category.HATE) else ()
        for text in dict.fromkeys(copy.text for copy in record.posts):
            yield LabelledText(text, record.language, labels, target, f"review:{record.item}")


def _target(record: Record) -> tuple[TargetGroup, ...]:
    """The group that the machine saw, where people said that it is hate: a machine's guess, and the source says so."""
    targets = (record.assessment or {}).get("targets") or {}
    group = max(targets, key=targets.__getitem__, default=None)
    return (TargetGroup(group),) if group is not None and targets[group] >= 0.5 else ()


def write_labelled(found: Iterable[LabelledText], path: Path) -> int:
    """Training data as .jsonl or .parquet, a column a category (true, false, or null: not said); returns how many rows.

    Raises:
        InputError: when the ending is another or the directory missing.
    """
    if path.suffix not in (".jsonl", ".parquet"):
        raise InputError(f"{path}: labels are written as .jsonl or .parquet")
    if not path.parent.is_dir():
        raise InputError(f"{path.parent}: no such directory")
    rows = [
        {"text": one.text, "lang": one.language, **{c.value: one.labels.get(c) for c in Category}, "targets": [t.value for t in one.targets], "source": one.source} for one in found
    ]
    part = path.with_name(f".{path.name}.part")
    try:
        if path.suffix == ".jsonl":
            with part.open("w", encoding="utf-8", newline="\n") as stream:
                stream.writelines(json.dumps(row, ensure_ascii=True) + "\n" for row in rows)
        else:
            import pyarrow as pa
            import pyarrow.parquet as pq

            columns = [("text", pa.string()), ("lang", pa.string()), *((c.value, pa.bool_()) for c in Category), ("targets", pa.list_(pa.string())), ("source", pa.string())]
            clean = [{**row, "text": str(row["text"]).encode("utf-8", "replace").decode()} for row in rows]  # Parquet has no half characters
            pq.write_table(pa.Table.from_pylist(clean, schema=pa.schema(columns)), part, compression="zstd")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return len(rows)


def read_labelled(path: Path) -> list[LabelledText]:
    """What `write_labelled` wrote.

    Raises:
        InputError: when the file is missing or of another kind.
    """
    if not path.is_file() or path.suffix not in (".jsonl", ".parquet"):
        raise InputError(f"{path}: no such .jsonl or .parquet file. Make one with: ipu-moderation review export --format labels")
    if path.suffix == ".jsonl":
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    else:
        import pyarrow.parquet as pq

        rows = pq.read_table(path).to_pylist()
    return [LabelledText(r["text"], r["lang"], {c: r[c.value] for c in Category if r[c.value] is not None}, tuple(TargetGroup(t) for t in r["targets"]), r["source"]) for r in rows]


__all__ = [
    "FORMATS", "Copy", "Imported", "Record", "Said", "from_assessment", "from_coop", "from_csv", "from_label_studio", "import_records", "label_studio_config", "labelled",
    "read_labelled", "read_records", "records", "to_coop", "to_csv", "to_label_studio", "write_labelled", "write_records",
]  # fmt: skip
