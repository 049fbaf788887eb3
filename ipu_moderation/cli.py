"""The command line: ipu-moderation assess | decide | rules | version.

Exit codes: 0 all went well; 1 stopped, nothing was written; 2 wrong usage; 3 done, but some rows could not be read (they carry `error`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from ipu_moderation.errors import InputError, ModerationError, PackError

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, help="Find hate speech, incitement and defamation risk in many languages, and leave everything else alone. The machine never removes: it allows, sends to review, or holds for review.")
rules_app = typer.Typer(no_args_is_help=True, help="Rule packs: check and list.")
app.add_typer(rules_app, name="rules")
_out, _err = Console(), Console(stderr=True)

_STYLE = {"allow": "green", "review": "yellow", "hold": "bold red"}

Input = Annotated[str, typer.Argument(help="A .csv, .tsv, .jsonl, .parquet or .txt file (a post a line), a .gz of one, or - for standard input.", metavar="INPUT")]
PolicyName = Annotated[str, typer.Option("--policy", help="A preset (cautious, balanced, review-only) or the path of a policy file.")]
Output = Annotated[str | None, typer.Option("-o", "--output", help="A .jsonl, .csv, .tsv or .parquet file. Without it: a table on a terminal, JSONL in a pipe.")]


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
    show_text: Annotated[bool, typer.Option("--show-text", help="Write the texts beside the results. They may be private, and may hurt.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first row that cannot be read, and write nothing.")] = False,
) -> None:
    """Assess every post of a file, and say what the policy makes of it."""
    from ipu_moderation import batch
    from ipu_moderation.classifiers.compact import CompactClassifier
    from ipu_moderation.moderator import Moderator
    from ipu_moderation.policy import load_policy

    with _errors():
        chosen = load_policy(policy)
        moderator = Moderator(CompactClassifier(model)) if model else Moderator.default()
        columns = batch.Columns(text_column, id_column, language_column)
        if output is None and sys.stdout.isatty():
            rows = list(batch.assess_rows(batch._strict(batch.read(source, columns)) if strict else batch.read(source, columns), moderator, chosen, show_text=show_text, workers=workers))
            _out.print(_table(rows, show_text))
            errors = _summary(rows)
        else:
            counts: dict[str, int] = {}
            with _progress(source) as step:

                def seen(row: dict[str, Any]) -> None:
                    name = "error" if "error" in row else row["decision"]["action"]
                    counts[name] = counts.get(name, 0) + 1
                    if name == "error":
                        _err.print(f"[red]row not read[/red]  {escape(row['error'])}", highlight=False, soft_wrap=True)
                    step()

                errors = batch.run(source, output or "-", moderator, chosen, columns=columns, show_text=show_text, workers=workers, strict=strict, seen=seen)
            if output:
                _err.print(f"{output}: " + ", ".join(f"{counts[k]:,} {k}" for k in ("allow", "review", "hold", "error") if k in counts) if counts else f"{output}: no rows", highlight=False)
    if errors:
        raise typer.Exit(3)


@app.command()
def decide(
    source: Annotated[Path, typer.Argument(help="Assessments as `assess -o FILE.jsonl` wrote them.", metavar="ASSESSMENTS")],
    policy: PolicyName = "cautious",
    output: Output = None,
) -> None:
    """Decide anew over saved assessments, with another policy: no text and no model is needed."""
    from ipu_moderation import batch
    from ipu_moderation.policy import load_policy
    from ipu_moderation.types import Assessment

    errors = 0
    with _errors(), batch.write(output or "-") as writer:
        chosen = load_policy(policy)
        try:
            lines = source.open(encoding="utf-8")
        except OSError as error:
            raise InputError(f"{source}: {error.strerror}") from error
        with lines:
            for number, line in enumerate(filter(str.strip, lines), 1):
                try:
                    row = json.loads(line)
                    if "error" not in row:
                        row["decision"] = chosen.decide(Assessment.from_dict(row)).to_dict()
                except (ValueError, KeyError, TypeError) as error:
                    row = {"id": str(number), "error": f"{source}, row {number}: not an assessment ({type(error).__name__}); make one with: ipu-moderation assess INPUT -o FILE.jsonl"}
                errors += "error" in row
                writer(row)
    if errors:
        raise typer.Exit(3)


@rules_app.command("check")
def rules_check(file: Annotated[Path | None, typer.Argument(help="A rule pack; all packs of the package without it.")] = None) -> None:
    """Run every check and every example of a pack; all faults are listed at once."""
    from ipu_moderation.resources import rule_packs
    from ipu_moderation.rules.checker import check_pack

    faults = 0
    with _errors():
        for path in [file] if file else rule_packs():
            found = check_pack(path)
            faults += len(found)
            _out.print(f"{path.name}: {'in order' if not found else f'{len(found)} faults'}", highlight=False)
            for i, fault in enumerate(found, 1):
                _out.print(f"{i:3d}. {escape(str(fault))}", highlight=False, soft_wrap=True)
    if faults:
        raise typer.Exit(1)


@rules_app.command("list")
def rules_list(language: Annotated[str | None, typer.Option(help="Only this language.")] = None) -> None:
    """List the rules of the packs: id, category, effect, what they are about."""
    from ipu_moderation.rules import load_packs

    with _errors():
        table = Table("rule", "category", "effect", "about", box=None, pad_edge=False)
        for rule in load_packs().rules:
            if language in (None, rule.language):
                table.add_row(rule.id, str(rule.category or "-"), rule.effect, escape(rule.about))
        _out.print(table)


@app.command()
def version(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """The versions of the code, model, normaliser and rule packs: what every assessment names."""
    from ipu_moderation.moderator import Moderator

    with _errors():
        versions = dict(Moderator.default().versions)
        if as_json:
            print(json.dumps(versions, indent=1))
        else:
            for name, value in versions.items():
                print(f"{name:15s} {value}")


@contextmanager
def _errors() -> Iterator[None]:
    """Errors of ours as one line on standard error, exit code 1; anything else is a fault of ours and shows its trace."""
    try:
        yield
    except PackError as error:
        _err.print(f"[red]error:[/red] {escape(str(error))}", highlight=False, soft_wrap=True)
        for i, fault in enumerate(error.faults, 1):
            _err.print(f"{i:3d}. {escape(str(fault))}", highlight=False, soft_wrap=True)
        raise typer.Exit(1) from error
    except ModerationError as error:
        _err.print(f"[red]error:[/red] {escape(str(error))}", highlight=False, soft_wrap=True)
        raise typer.Exit(1) from error
    except BrokenPipeError:
        sys.stderr.close()
        raise typer.Exit(1) from None


@contextmanager
def _progress(source: str) -> Iterator[Any]:
    if not _err.is_terminal:
        yield lambda: None
        return
    with Progress(SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("posts"), TimeElapsedColumn(), console=_err, transient=True) as bar:
        task = bar.add_task(Path(source).name, total=_count(source))
        yield lambda: bar.advance(task)


def _count(source: str) -> int | None:
    """Rows of a file where that is known without reading it whole."""
    if source.endswith(".parquet"):
        import pyarrow.parquet as pq

        return int(pq.read_metadata(source).num_rows)
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


def _summary(rows: list[dict[str, Any]]) -> int:
    errors = sum("error" in row for row in rows)
    actions = [row["decision"]["action"] for row in rows if "error" not in row]
    parts = [f"{actions.count(a)} {a}" for a in ("allow", "review", "hold")] + ([f"{errors} not read"] if errors else [])
    _out.print(f"\n{len(rows)} posts: {', '.join(parts)}. A person decides every restriction; a hold lapses by itself.", highlight=False)
    if any("error" not in row and row["support"] == "unmeasured" for row in rows):
        _out.print("* quality in this language is not measured in every category: such posts are never held on a category that was not measured.", style="dim", highlight=False)
    return errors


def main() -> None:
    """The entry point."""
    app()


if __name__ == "__main__":
    main()
