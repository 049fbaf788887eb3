"""The command line of review, audit and reports: three groups that the main command takes in.

    ipu-moderation review next | label | release | appeal | stats | export | import | lapse | notices | purge | person | erase
    ipu-moderation audit verify | export
    ipu-moderation report transparency | dsa

Exit codes: 0 all went well; 1 stopped; 2 wrong usage; 3 done, but a part was refused (each with its reason).
"""

from __future__ import annotations

import datetime as dt
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ipu_moderation.errors import InputError, MissingExtraError
from ipu_moderation.taxonomy import Category
from ipu_moderation.terminal import errors
from ipu_moderation.terminal import stderr as _err

if TYPE_CHECKING:
    from ipu_moderation.review.privacy import Key
    from ipu_moderation.review.queue import ReviewQueue
    from ipu_moderation.review.store import Store
    from ipu_moderation.review.types import ReviewItem

review_app = typer.Typer(no_args_is_help=True, help="People decide: claim an item, give a verdict, appeal, export.")
audit_app = typer.Typer(no_args_is_help=True, help="The audit trail: verify and export.")
report_app = typer.Typer(no_args_is_help=True, help="The transparency report, and statements of reasons under the DSA.")
_out = Console()

Database = Annotated[str, typer.Option("--db", help="The database: a SQLite file, or postgresql://USER@HOST/NAME.", envvar="IPU_MODERATION_DB")]
KeyFile = Annotated[Path | None, typer.Option("--key-file", help="The file with the secret behind pseudonyms; or $IPU_MODERATION_KEY. Make one with: openssl rand -hex 32 > key")]
Reviewer = Annotated[str, typer.Option("--reviewer", help="Your pseudonym.")]
Since = Annotated[str | None, typer.Option(help="From this day on (2026-01-01, UTC); from the beginning without it.")]
Until = Annotated[str | None, typer.Option(help="Up to, and without, this day; up to now without it.")]
_DB = "review.sqlite"


# --- review ----------------------------------------------------------------------------------------------------------------------------------


@review_app.command("next")
def review_next(
    reviewer: Reviewer,
    language: Annotated[list[str], typer.Option("--language", help="A language that you read (BCP 47); repeat for more.")],
    db: Database = _DB,
    key_file: KeyFile = None,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show the text. Without it the words are blurred.")] = False,
    evidence: Annotated[bool, typer.Option("--evidence", help="Show why the machine sent it; the audit trail says that you saw it.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Claim the item that is due first; it is yours until the lease ends."""
    with _errors(), _queue(db, key_file) as queue:
        queue.lapse()
        item = queue.claim(reviewer, language, evidence=evidence)
        if as_json:
            print(json.dumps(_item_json(item, reveal), ensure_ascii=True))
        elif item is None:
            _out.print(f"Nothing waits for {escape(reviewer)} in {escape(', '.join(language))}.", highlight=False)
        else:
            _show(item, reveal)


@review_app.command("label")
def review_label(
    item: Annotated[str, typer.Argument(help="The item, as `review next` named it.", metavar="ITEM")],
    reviewer: Reviewer,
    db: Database = _DB,
    key_file: KeyFile = None,
    yes: Annotated[list[Category] | None, typer.Option("--yes", help="The post is this; repeat for more.")] = None,
    no: Annotated[list[Category] | None, typer.Option("--no", help="The post is not this.")] = None,
    unsure: Annotated[list[Category] | None, typer.Option("--unsure", help="You cannot tell whether it is this.")] = None,
    restrict: Annotated[bool, typer.Option("--restrict", help="It must be restricted; needs --yes. A second person decides too.")] = False,
    allow: Annotated[bool, typer.Option("--allow", help="It may stay; what you do not name with --yes or --unsure is answered no.")] = False,
    cannot_tell: Annotated[bool, typer.Option("--cannot-tell", help="You cannot tell at all; somebody else will be asked.")] = False,
    note: Annotated[str, typer.Option(help="For those who run the queue; do not quote the post.")] = "",
) -> None:
    """Give your verdict on the item that you hold."""
    from ipu_moderation.types import Verdict

    if restrict + allow + cannot_tell != 1:
        raise typer.BadParameter("say one of --restrict, --allow and --cannot-tell")
    if cannot_tell and (yes or no):
        raise typer.BadParameter("--cannot-tell is for when you can answer nothing; with --yes or --no say --allow or --restrict")
    labels: dict[Category, bool | None] = {}
    for answer, categories in ((True, yes), (False, no), (None, unsure)):
        for category in categories or ():
            if category in labels:
                raise typer.BadParameter(f"{category.value} is answered twice")
            labels[category] = answer
    if allow:
        labels = {category: labels.get(category, False) for category in Category}
    if cannot_tell:
        labels = dict.fromkeys(Category)
    with _errors(), _queue(db, key_file) as queue:
        ruling = queue.label(Verdict(item, labels, restrict, reviewer, note))
        _out.print(f"{item}: " + (f"decided, {ruling.outcome or 'thank you'}" if ruling.settled else f"waits for {ruling.waiting_for}"), highlight=False)


@review_app.command("release")
def review_release(item: Annotated[str, typer.Argument(help="What was claimed.", metavar="ITEM")], reviewer: Reviewer, db: Database = _DB, key_file: KeyFile = None) -> None:
    """Give a claimed item back unanswered."""
    with _errors(), _queue(db, key_file) as queue:
        queue.release(item, reviewer)


@review_app.command("appeal")
def review_appeal(
    post: Annotated[str, typer.Argument(help="Your name for the post, as it was handed over.", metavar="POST")],
    grounds: Annotated[str, typer.Option(help="Why the decision should be another.")],
    by: Annotated[str, typer.Option(help="author (against a restriction) or notifier (against an allowance).")] = "author",
    db: Database = _DB,
    key_file: KeyFile = None,
) -> None:
    """Have a decision made anew, by people who had no part in it."""
    with _errors(), _queue(db, key_file) as queue:
        item = queue.appeal(post, by, grounds)  # type: ignore[arg-type]
        _out.print(f"{item}: open again; the earlier outcome stands until somebody else has decided", highlight=False)


@review_app.command("stats")
def review_stats(db: Database = _DB, as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """What waits, for how long, who did how much, and how far people agree."""
    with _errors(), _store(db) as store:
        from ipu_moderation.review.agreement import overview
        from ipu_moderation.review.store import microseconds

        with store.read() as connection:
            found = overview(connection, microseconds(store.clock()))
        if as_json:
            print(json.dumps(found))
            return
        table = Table("language", "waiting", "late", "oldest", box=None, pad_edge=False)
        for row in found["waiting"]:
            table.add_row(row["language"], str(row["items"]), str(row["late"]), row["oldest"])
        _out.print(table if found["waiting"] else "Nothing waits.")
        _out.print(f"\nheld: {found['holds']['items']}, next deadline {found['holds']['next_deadline'] or '-'}", highlight=False)
        people = Table("reviewer", "verdicts", "median s", "golden right", box=None, pad_edge=False)
        for row in found["reviewers"]:
            seconds = "-" if row["median_seconds"] is None else f"{row['median_seconds']:.0f}"
            people.add_row(escape(row["reviewer"]), str(row["verdicts"]), seconds, f"{row['golden_right']} of {row['golden']}" if row["golden"] else "-")
        if found["reviewers"]:
            _out.print()
            _out.print(people)
        agreed = found["agreement"]
        _out.print(
            f"\nagreement (alpha) on whether to restrict: {'-' if agreed['restrict'] is None else format(agreed['restrict'], '.2f')}, "
            f"over {agreed['items']} items drawn for a second opinion",
            highlight=False,
        )


@review_app.command("export")
def review_export(
    output: Annotated[Path, typer.Option("-o", "--output", help="The file to write.")],
    form: Annotated[str, typer.Option("--format", help="labels (training data: .jsonl, .parquet), label-studio, csv or coop.")] = "labels",
    only: Annotated[str | None, typer.Option(help="open or settled; both without it. Labels are of settled items always.")] = None,
    mask: Annotated[bool, typer.Option("--mask-personal-data", help="Leave out e-mail and street addresses, handles, numbers of telephones, accounts and documents.")] = False,
    db: Database = _DB,
) -> None:
    """Write items and verdicts to a file. It holds the texts: keep it as you keep the database."""
    with _errors(), _store(db) as store:
        from ipu_moderation.personal import mask_personal_data
        from ipu_moderation.review import exchange

        if only not in (None, "open", "settled"):
            raise InputError(f"--only is open or settled, not '{only}'")
        if form == "labels":
            found = exchange.labelled(store)
            n = exchange.write_labelled((replace(one, text=mask_personal_data(one.text)) for one in found) if mask else found, output)
        else:
            items = exchange.records(store, settled=None if only is None else only == "settled")
            n = exchange.write_records(map(exchange.masked, items) if mask else items, output, form)
        _err.print(f"{output}: {n:,} {'texts' if form == 'labels' else 'items'}", highlight=False)


@review_app.command("import")
def review_import(
    file: Annotated[Path, typer.Argument(help="What `assess --show-text -o FILE.jsonl` wrote, tasks of Label Studio, Coop-style reports, or CSV.", metavar="FILE")],
    db: Database = _DB,
    key_file: KeyFile = None,
    golden: Annotated[bool, typer.Option("--golden", help="The opinions in the file are known answers: show the items to each reviewer once.")] = False,
) -> None:
    """Put posts, and opinions that people gave elsewhere, into the queue."""
    with _errors(), _queue(db, key_file) as queue:
        from ipu_moderation.review import exchange

        found = exchange.read_records(file)
        if golden:
            added = sum(queue.add_golden(r.posts[0].text, r.language, s.labels, restrict=s.restrict) for r in found for s in r.opinions[:1])
            _err.print(f"{file}: {added:,} golden items added", highlight=False)
            return
        done = exchange.import_records(queue, found)
        _err.print(f"{file}: {done.queued:,} posts in review, {done.allowed:,} allowed, {done.verdicts:,} verdicts taken", highlight=False)
        for reason in done.refused:
            _err.print(f"[red]not taken[/red]  {escape(reason)}", highlight=False, soft_wrap=True)
    if done.refused:
        raise typer.Exit(3)


@review_app.command("lapse")
def review_lapse(db: Database = _DB, key_file: KeyFile = None) -> None:
    """Write down which holds have passed their deadline, and prepare the notices. The posts are allowed again without it."""
    with _errors(), _queue(db, key_file) as queue:
        _out.print(f"{queue.lapse()} holds have lapsed", highlight=False)


@review_app.command("notices")
def review_notices(
    db: Database = _DB, key_file: KeyFile = None, delivered: Annotated[bool, typer.Option("--delivered", help="Mark those that are printed as delivered.")] = False
) -> None:
    """Print what authors are still to be told, as JSON lines."""
    with _errors(), _queue(db, key_file) as queue:
        waiting = queue.notices()
        for one in waiting:
            told = {"id": one.id, "post": one.post, "kind": one.kind, "at": one.at.isoformat(), "reasons": list(one.reasons), "language": one.language, "text": one.text}
            print(json.dumps(told, ensure_ascii=True))
        if delivered and waiting:
            queue.delivered([one.id for one in waiting])


@review_app.command("purge")
def review_purge(older_than: Annotated[str, typer.Option("--older-than", help="For example 180d or 12h.")], db: Database = _DB) -> None:
    """Delete the texts of what was settled longer ago than this; the audit trail stays valid."""
    with _errors(), _store(db) as store:
        from ipu_moderation.review.privacy import purge

        _out.print(f"{purge(store, _duration(older_than))} texts deleted", highlight=False)


@review_app.command("person")
def review_person(
    author: Annotated[str, typer.Option(help="Your name for the author.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="A .json file.")],
    db: Database = _DB,
    key_file: KeyFile = None,
) -> None:
    """Write everything that is held about one author, with the texts, for that author."""
    with _errors(), _store(db) as store:
        from ipu_moderation.review.privacy import check_key, person

        key = _key(key_file)
        check_key(store, key)
        found = person(store, key, author)
        if not output.parent.is_dir():
            raise InputError(f"{output.parent}: no such directory")
        output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        _err.print(f"{output}: {len(found['posts'])} posts", highlight=False)


@review_app.command("erase")
def review_erase(author: Annotated[str, typer.Option(help="Your name for the author.")], db: Database = _DB, key_file: KeyFile = None) -> None:
    """Delete what is held about one author; decisions and the audit trail stay, and name nobody."""
    with _errors(), _store(db) as store:
        from ipu_moderation.review.privacy import check_key, erase

        key = _key(key_file)
        check_key(store, key)
        _out.print(f"{erase(store, key, author)} posts no longer name or quote this author", highlight=False)


# --- audit -----------------------------------------------------------------------------------------------------------------------------------


@audit_app.command("verify")
def audit_verify(
    file: Annotated[Path | None, typer.Argument(help="An exported trail; the database without it.", metavar="[FILE]")] = None,
    db: Database = _DB,
    anchor: Annotated[str | None, typer.Option(help="SEQ:HASH of an earlier verification or report: shows a trail that was computed anew.")] = None,
) -> None:
    """Check that nothing in the trail was changed, left out or put in another order, and that the database agrees with it."""
    with _errors():
        from ipu_moderation.review import audit

        if file is not None:
            found = audit.verify_chain(audit.read_trail(file), anchor)
        else:
            _existing(db)
            with _store(db) as store, store.read() as connection:
                found = audit.verify(connection, anchor)
        for fault in found.faults:
            _out.print(f"[red]fault:[/red] {escape(fault)}", highlight=False, soft_wrap=True)
        _out.print(f"{found.entries:,} entries {'in order' if found.sound else 'up to the fault'}, head {found.head}", highlight=False, soft_wrap=True)
    if not found.sound:
        raise typer.Exit(1)


@audit_app.command("export")
def audit_export(output: Annotated[Path, typer.Option("-o", "--output", help="A .jsonl file.")], db: Database = _DB) -> None:
    """Write the trail as JSON lines: no texts, no authors. Anybody can verify it."""
    with _errors():
        from ipu_moderation.review import audit

        _existing(db)
        with _store(db) as store, store.read() as connection:
            n = audit.write_trail(audit.entries(connection), output)
        _err.print(f"{output}: {n:,} entries", highlight=False)


# --- report ----------------------------------------------------------------------------------------------------------------------------------


@report_app.command("transparency")
def report_transparency(
    output: Annotated[Path, typer.Option("-o", "--output", help="A .html or .json file.")],
    db: Database = _DB,
    since: Since = None,
    until: Until = None,
    title: Annotated[str, typer.Option(help="The heading.")] = "Transparency report",
) -> None:
    """Write what was decided, how well, how fast, and what was missed; every share with n and an interval."""
    with _errors():
        from ipu_moderation.reports.figures import collect
        from ipu_moderation.reports.transparency import write_report

        _existing(db)
        with _store(db) as store:
            write_report(collect(store, *_span(store, since, until)), output, title=title)
        _err.print(f"{output}: written", highlight=False)


@report_app.command("dsa")
def report_dsa(
    grounds: Annotated[Path, typer.Option(help="A YAML file with the grounds that you restrict on.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="A .json file: bodies for POST /api/v1/statements, at most 100 statements each.")],
    db: Database = _DB,
    since: Since = None,
    until: Until = None,
    letters: Annotated[Path | None, typer.Option(help="A directory for the statements as text, one file for each author's post.")] = None,
    holds: Annotated[bool, typer.Option("--holds", help="Statements for posts that were kept back, instead of those for restrictions.")] = False,
) -> None:
    """Write statements of reasons under art. 17 of the DSA, for the Transparency Database and for authors."""
    with _errors():
        from ipu_moderation.reports import dsa

        _existing(db)
        with _store(db) as store:
            made = list((dsa.hold_statements if holds else dsa.statements)(store, dsa.load_grounds(grounds), *_span(store, since, until)))
        if not output.parent.is_dir():
            raise InputError(f"{output.parent}: no such directory")
        output.write_text(dsa.to_json(made) + "\n", encoding="utf-8")
        if letters is not None:
            letters.mkdir(parents=True, exist_ok=True)
            for one in made:
                (letters / f"{one.statement.puid}.txt").write_text(one.text(), encoding="utf-8")
        _err.print(f"{output}: {len(made):,} statements", highlight=False)


# --- within ----------------------------------------------------------------------------------------------------------------------------------


@contextmanager
def _errors() -> Iterator[None]:
    """As `errors`, and a missing extra is named."""
    with errors():
        try:
            yield
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("ipu_moderation"):
                raise
            raise MissingExtraError("human review", "review") from error


@contextmanager
def _store(db: str) -> Iterator[Store]:
    from ipu_moderation.review.store import Store

    with Store(db) as store:
        yield store


@contextmanager
def _queue(db: str, key_file: Path | None) -> Iterator[ReviewQueue]:
    from ipu_moderation.review.queue import ReviewQueue

    key = _key(key_file)
    with _store(db) as store:
        yield ReviewQueue(store, key)


def _key(file: Path | None) -> Key:
    from ipu_moderation.review.privacy import Key

    if file is not None:
        return Key.read(file)
    secret = os.environ.get("IPU_MODERATION_KEY")
    if not secret:
        raise InputError("the secret behind pseudonyms is needed: make one with `openssl rand -hex 32 > key` and say --key-file key, or set IPU_MODERATION_KEY")
    return Key(secret.strip().encode())


def _existing(db: str) -> None:
    """Reading commands do not make a database that is not there."""
    if "://" not in db and not Path(db).is_file():
        raise InputError(f"{db}: no such database. Name it with --db or IPU_MODERATION_DB; the first `review import` makes one")


def _duration(text: str) -> dt.timedelta:
    match = re.fullmatch(r"(\d+)\s*([dhm])", text.strip())
    if match is None:
        raise InputError(f"'{text}' is no time: say for example 180d, 12h or 30m")
    return dt.timedelta(**{{"d": "days", "h": "hours", "m": "minutes"}[match[2]]: int(match[1])})


def _span(store: Store, since: str | None, until: str | None) -> tuple[dt.datetime, dt.datetime]:
    from ipu_moderation.reports.figures import span_of

    first, last = span_of(store)
    return _day(since) or first, _day(until) or last


def _day(text: str | None) -> dt.datetime | None:
    if text is None:
        return None
    try:
        return dt.datetime.combine(dt.date.fromisoformat(text), dt.time(), dt.timezone.utc)
    except ValueError as error:
        raise InputError(f"'{text}' is no day: say for example 2026-01-31") from error


def _item_json(item: ReviewItem | None, reveal: bool) -> dict[str, Any] | None:
    from ipu_moderation.review.wellness import blur

    if item is None:
        return None
    seen = (lambda text: text) if reveal else (lambda text: None if text is None else blur(text))
    return {
        "item": item.id, "language": item.language, "variants": [{"text": seen(v.text), "copies": v.copies, "post": v.post} for v in item.variants], "blurred": not reveal,
        "graphic": item.graphic, "held_until": item.held_until.isoformat() if item.held_until else None, "lease_until": item.lease_until.isoformat(), "appeal": item.appeal,
        "campaign": None if item.campaign is None else {"copies": item.campaign.copies, "authors": item.campaign.authors, "first": item.campaign.first.isoformat(),
        "last": item.campaign.last.isoformat()},
        "reasons": list(item.reasons), "worksheets": {name: sheet.to_dict() for name, sheet in item.worksheets.items()}, "pause": item.pause,
    }  # fmt: skip


def _show(item: ReviewItem, reveal: bool) -> None:
    from ipu_moderation.review.wellness import blur

    def line(label: str, value: str) -> None:
        _out.print(f"[bold]{label:10s}[/bold] {escape(value)}", highlight=False, soft_wrap=True)

    line("item", item.id)
    line("language", item.language)
    for variant in item.variants:
        text = variant.text if variant.text is not None else "(deleted)"
        line("text" if variant.copies == 1 else f"text x{variant.copies}", text if reveal else blur(text))
    if not reveal:
        line("", "(blurred; --reveal shows it)")
    if item.graphic:
        line("care", "may be graphic")
    if item.campaign is not None:
        c = item.campaign
        line("campaign", f"{c.copies} near copies by {c.authors or 'unknown'} authors, {c.first:%Y-%m-%d %H:%M} to {c.last:%Y-%m-%d %H:%M} UTC")
    if item.held_until is not None:
        line("kept back", f"until {item.held_until:%Y-%m-%d %H:%M} UTC, then allowed again by itself")
    if item.appeal is not None:
        line("appeal", item.appeal)
    for reason in item.reasons:
        line("machine", reason)
    for name, sheet in item.worksheets.items():
        for element, part in sheet.parts().items():
            line(name, f"{element.replace('_', ' ')}: {part.question}")
            for told in (*part.seen, *part.against):
                line("", f"- {told}")
            if not part.known:
                line("", "- unknown: yours to answer")
    line("yours", f"until {item.lease_until:%H:%M} UTC")
    for category in Category:
        line(category.value[:10], category.guideline)
    line("answer", f"ipu-moderation review label {item.id} --reviewer YOU (--allow | --restrict --yes CATEGORY | --cannot-tell)")
    if item.pause is not None:
        line("pause", item.pause)
