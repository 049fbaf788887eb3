"""The command line: ipu-moderation assess | decide | rules | policy | review | audit | report | version.

Exit codes: 0 all went well; 1 stopped, no file was written; 2 wrong usage; 3 done, but some rows could not be read or not be assessed in full (they carry `error` or `faults`).
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from ipu_moderation.policy_commands import policy_app
from ipu_moderation.review.commands import audit_app, report_app, review_app
from ipu_moderation.rules_commands import rules_app
from ipu_moderation.terminal import errors
from ipu_moderation.terminal import stderr as _err

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_show_locals=False,  # they would show the texts of users
    help=(
        "Find hate speech, incitement and defamation risk in many languages, and leave everything else alone. "
        "The machine never removes: it allows, sends to review, or holds for review."
    ),
)
app.add_typer(rules_app, name="rules")
app.add_typer(policy_app, name="policy")
app.add_typer(review_app, name="review")
app.add_typer(audit_app, name="audit")
app.add_typer(report_app, name="report")
_out = Console(width=None if sys.stdout.isatty() else int(os.environ.get("COLUMNS", 150)))

_STYLE = {"allow": "green", "review": "yellow", "hold": "bold red"}
_PAGE = 200
"""Posts of a table on a terminal; the next table follows."""

Input = Annotated[str, typer.Argument(help="A .csv, .tsv, .jsonl, .parquet or .txt file (a post a line), a .gz of one, or - for standard input.", metavar="INPUT")]
PolicyName = Annotated[str, typer.Option("--policy", help="A preset (cautious, balanced, review-only) or the path of a policy file.")]
Output = Annotated[str | None, typer.Option("-o", "--output", help="A .jsonl, .csv, .tsv or .parquet file. Without it: a table on a terminal, JSONL in a pipe.")]
ShowText = Annotated[bool, typer.Option("--show-text", help="Write the texts beside the results. They may be private, and may hurt.")]


@app.command()
def assess(
    source: Input,
    text_column: Annotated[str, typer.Option(help="The column that holds the text.")] = "text",
    id_column: Annotated[str | None, typer.Option(help="The column that names the row; 'id' when there is one, else the row number.")] = None,
    language_column: Annotated[str | None, typer.Option(help="A column with BCP 47 codes; without it the language is identified.")] = None,
    policy: PolicyName = "cautious",
    output: Output = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes. One uses all cores for the classifier already; more help when rules and files weigh.")] = 1,
    model: Annotated[Path | None, typer.Option(help="A model directory of your own; the one in the package without it.")] = None,
    show_text: ShowText = False,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first row that cannot be read, and write no file.")] = False,
    table: Annotated[bool | None, typer.Option("--table/--no-table", help="Print a table, or JSONL, whatever standard output is.")] = None,
) -> None:
    """Assess every post of a file, and say what the policy makes of it."""
    from ipu_moderation import batch
    from ipu_moderation.classifiers.compact import CompactClassifier, cores
    from ipu_moderation.moderator import Moderator
    from ipu_moderation.policy import load_policy

    counts: Counter[str] = Counter()
    with errors():
        chosen = load_policy(policy)
        moderator = Moderator(CompactClassifier(model, threads=max(1, cores() // workers)))
        columns = batch.Columns(text_column, id_column, language_column)
        if output is None and (sys.stdout.isatty() if table is None else table):
            rows = batch.assess_rows(batch.read(source, columns, strict=strict), moderator, chosen, show_text=show_text, workers=workers)
            incomplete = 0
            while page := list(islice(rows, _PAGE)):
                _out.print(_table(page, show_text))
                counts.update(map(_outcome, page))
                counts["unmeasured"] += sum("error" not in row and row["support"] == "unmeasured" for row in page)
                incomplete += sum(map(batch.incomplete, page))
            _summarise(counts)
        else:
            with _progress(source) as step:

                def seen(row: dict[str, Any]) -> None:
                    _end_if_asked()
                    counts[_outcome(row)] += 1
                    if "error" in row:
                        _err.print(f"[red]row not read[/red]  {escape(row['error'])}", highlight=False, soft_wrap=True)
                    elif row["faults"]:
                        counts["not assessed in full"] += 1
                    step()

                incomplete = batch.run(source, output or "-", moderator, chosen, columns=columns, show_text=show_text, workers=workers, strict=strict, seen=seen)
            if output:
                known = ("allow", "review", "hold", "error", "not assessed in full")
                _err.print(f"{escape(output)}: {', '.join(f'{counts[k]:,} {k}' for k in known if counts[k]) or 'no rows'}", highlight=False, soft_wrap=True)
    if incomplete:
        raise typer.Exit(3)


@app.command()
def decide(
    source: Annotated[str, typer.Argument(help="Assessments as `assess -o FILE.jsonl` wrote them, or - for standard input.", metavar="ASSESSMENTS")],
    policy: PolicyName = "cautious",
    output: Output = None,
    show_text: ShowText = False,
) -> None:
    """Decide anew over saved assessments, with another policy: no text and no model is needed."""
    from ipu_moderation import batch
    from ipu_moderation.policy import load_policy

    incomplete = 0
    with errors():
        chosen = load_policy(policy)
        with batch.write(output or "-", show_text=show_text) as writer:
            for row in batch.decide_rows(source, chosen, show_text=show_text):
                incomplete += batch.incomplete(row)
                writer(row)
    if incomplete:
        raise typer.Exit(3)


@app.command()
def version(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """The versions of the code, model, normaliser and rule packs: what every assessment names."""
    from ipu_moderation.moderator import Moderator

    with errors():
        versions = dict(Moderator.default().versions)
        if as_json:
            print(json.dumps(versions, indent=1))
        else:
            for name, value in versions.items():
                print(f"{name:15s} {value}")


@contextmanager
def _progress(source: str) -> Iterator[Any]:
    if not _err.is_terminal:
        yield lambda: None
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("posts"), TimeElapsedColumn())
    with Progress(*columns, console=_err, transient=True) as bar:
        task = bar.add_task(escape(Path(source).name), total=_count(source))
        yield lambda: bar.advance(task)


def _count(source: str) -> int | None:
    """Rows of a file where that is known without reading it whole."""
    if source.endswith(".parquet"):
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return int(pq.read_metadata(source).num_rows)
        except (OSError, pa.ArrowException):  # told in order when it is read
            return None
    return None


def _table(rows: list[dict[str, Any]], show_text: bool) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", row_styles=["", "on grey7"])
    for name, justify in (("id", "left"), ("lang", "left"), ("hate", "right"), ("abuse", "right"), ("viol.", "right"), ("incit.", "right"), ("action", "left")):
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    if show_text:
        table.add_column("text", ratio=2, overflow="fold")
    table.add_column("why", ratio=3, overflow="fold")
    for row in rows:
        if "error" in row:
            table.add_row(escape(row["id"]), *[""] * 5, "[red]error[/red]", *([""] if show_text else []), escape(row["error"]))
            continue
        decision, scores = row["decision"], row["scores"]
        cells = [f"{scores[c]:.2f}" if c in scores else "-" for c in ("hate", "abuse", "violence", "incitement")]
        code = row["language"]["code"] + ("" if row["support"] == "measured" else "*")
        style = _STYLE[decision["action"]]
        text = [escape(row["text"][:300])] if show_text else []
        table.add_row(escape(row["id"]), code, *cells, f"[{style}]{decision['action']}[/{style}]", *text, escape(" ".join(decision["reasons"])))
    return table


def _outcome(row: dict[str, Any]) -> str:
    return "error" if "error" in row else str(row["decision"]["action"])


def _summarise(counts: Counter[str]) -> None:
    actions = ("allow", "review", "hold")
    parts = [f"{counts[a]:,} {a}" for a in actions] + ([f"{counts['error']:,} not read"] if counts["error"] else [])
    posts = sum(counts[k] for k in (*actions, "error"))
    _out.print(f"\n{posts:,} posts: {', '.join(parts)}. A person decides every restriction; a hold lapses by itself.", highlight=False)
    if counts["unmeasured"]:
        _out.print("* quality in this language is not measured in every category: such posts are never held on a category that was not measured.", style="dim", highlight=False)


_asked_to_end: list[int] = []


def _end(number: int, _: object) -> None:
    _asked_to_end.append(number)
    _end_if_asked()


def _end_if_asked() -> None:
    """Called for every row as well: a request that comes while onnxruntime is being imported is swallowed by it."""
    if _asked_to_end:
        sys.exit(128 + _asked_to_end[0])


def main() -> None:
    """The entry point. A request to end unwinds everything, so that no half-written file stays behind."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):  # `nohup` has it ignored, and that stays
            signal.signal(number, _end)
    app()


if __name__ == "__main__":
    main()
