"""The commands `rules check | list | test | diff | new`: for people who write and read packs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ipu_moderation.errors import InputError, PackError
from ipu_moderation.terminal import errors
from ipu_moderation.terminal import stderr as _err

if TYPE_CHECKING:
    from ipu_moderation.rules.authoring import Post
    from ipu_moderation.rules.schema import Pack

rules_app = typer.Typer(no_args_is_help=True, help="Rule packs: check, list, test on posts, compare, begin a new one.")
_out = Console(width=None if sys.stdout.isatty() else int(os.environ.get("COLUMNS", 150)))

PackFile = Annotated[Path, typer.Argument(help="A rule pack (.yaml), or the code of one that ships with the package.", metavar="PACK")]
Posts = Annotated[Path | None, typer.Option(help="A .csv, .tsv, .jsonl, .parquet or .txt file of posts.")]
TextColumn = Annotated[str, typer.Option(help="The column that holds the text.")]
LanguageColumn = Annotated[str | None, typer.Option(help="A column with BCP 47 codes; without it every post counts as of the pack's language.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON on standard output.")]


@rules_app.command("check")
def rules_check(
    file: Annotated[Path | None, typer.Argument(help="A rule pack; all packs of the package without it.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Run examples with one term of each target, not with every term: while you write.")] = False,
) -> None:
    """Run every check and every example of a pack; all faults are listed at once."""
    from ipu_moderation.resources import rule_packs
    from ipu_moderation.rules.checker import check_pack

    faults = 0
    with errors():
        for path in [file] if file else rule_packs():
            found = check_pack(path, quick=quick)
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

    with errors():
        table = Table("rule", "category", "effect", "about", box=None, pad_edge=False)
        for rule in load_packs().rules:
            if language in (None, rule.language):
                table.add_row(rule.id, str(rule.category or "-"), rule.effect, escape(rule.about))
        _out.print(table)


@rules_app.command("test")
def rules_test(
    pack: PackFile,
    posts: Annotated[Path, typer.Option(help="A .csv, .tsv, .jsonl, .parquet or .txt file of posts.")],
    text_column: TextColumn = "text",
    language_column: LanguageColumn = None,
    as_json: AsJson = False,
) -> None:
    """What a pack would raise on your posts, and how often: a rule that matches too much is seen at once. Texts are not shown; rows are named."""
    from ipu_moderation.rules.authoring import try_out
    from ipu_moderation.rules.engine import load_packs

    with errors():
        path = _path(pack)
        rules = load_packs([path], extra=[])
        trial = try_out(rules, _posts(posts, text_column, language_column, rules.packs[0].language))
        if as_json:
            body = {rule: {"posts": u.posts, "covered": u.covered, "rows": u.rows} for rule, u in trial.rules.items()}
            print(json.dumps({"posts": trial.posts, "raised": trial.raised, "rules": body}))
            return
        effects = {info.id: info.effect for info in rules.rules}
        table = Table("rule", "effect", "posts", "share", "excused", "first rows", box=None, pad_edge=False)
        for rule, use in trial.rules.items():
            if use.posts:
                raises = effects.get(rule, "raise") == "raise"
                excused, rows = (f"{use.covered:,}", ", ".join(use.rows)) if raises else ("-", "")
                table.add_row(rule, "raise" if raises else "excuse", f"{use.posts:,}", f"{use.posts / trial.posts:.2%}", excused, escape(rows))
        _out.print(table)
        silent = sum(not use.posts for use in trial.rules.values())
        share = f" ({trial.raised / trial.posts:.2%})" if trial.posts else ""
        _out.print(f"\n{trial.posts:,} posts, {trial.raised:,} raised{share}; {silent} of {len(trial.rules)} rules matched nothing.", highlight=False)


@rules_app.command("diff")
def rules_diff(
    old: PackFile,
    new: Annotated[Path, typer.Argument(help="The pack that would take its place.", metavar="NEW")],
    posts: Posts = None,
    text_column: TextColumn = "text",
    language_column: LanguageColumn = None,
    as_json: AsJson = False,
) -> None:
    """The rules that differ between two packs and, with --posts, the posts that are raised by one alone."""
    from dataclasses import asdict

    from ipu_moderation.rules.authoring import compare

    with errors():
        before, after = _read(old), _read(new)
        found = compare(before, after, _posts(posts, text_column, language_column, after.language) if posts else ())
        if as_json:
            print(json.dumps(asdict(found)))
            return
        for label, names in (("added", found.added), ("removed", found.removed)):
            for name in names:
                _out.print(f"{label:8s} {escape(name)}", highlight=False)
        for name, fields in found.changed.items():
            _out.print(f"{'changed':8s} {escape(name)}: {escape(', '.join(fields))}", highlight=False, soft_wrap=True)
        if not (found.added or found.removed or found.changed):
            _out.print("The packs say the same.")
        if posts:
            for label, rows in (("now raised", found.gained), ("no longer raised", found.lost)):
                more = f" and {len(rows) - 20:,} more" if len(rows) > 20 else ""
                _out.print(f"{label}: {len(rows):,} of {found.posts:,} posts" + (f": rows {escape(', '.join(rows[:20]))}{more}" if rows else ""), highlight=False, soft_wrap=True)


@rules_app.command("new")
def rules_new(
    language: Annotated[str, typer.Argument(help="The BCP 47 code of the new pack, as in sw or hi-Latn.", metavar="LANGUAGE")],
    source: Annotated[Path, typer.Option("--from", help="The pack whose lists and rules are taken over as gaps to fill: a file, or the code of one that ships.")] = Path("en"),
    script: Annotated[str, typer.Option(help="How the language is written, as in Latin or Arabic.")] = "Latin",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The file to write; LANGUAGE.yaml here without it.")] = None,
) -> None:
    """Begin a pack: a skeleton with every list and rule of another pack as a gap. `rules check` then lists what is to be written."""
    from ipu_moderation.rules.authoring import skeleton, writable
    from ipu_moderation.rules.schema import SCRIPTS

    with errors():
        if script not in SCRIPTS:
            raise InputError(f"there is no script '{script}'. Scripts: {', '.join(SCRIPTS)}")
        text = skeleton(_read(source), language, script)
        path = writable(output or Path(f"{language}.yaml"))
        path.write_text(text, encoding="utf-8")
        _out.print(f"{path}: fill the gaps, then: ipu-moderation rules check {path}", highlight=False, soft_wrap=True)


def _path(name: Path) -> Path:
    """A pack by its path, or one that ships by its code."""
    from ipu_moderation.resources import rule_packs

    if name.exists():
        return name
    shipped = {p.stem: p for p in rule_packs()}
    if str(name) in shipped:
        return shipped[str(name)]
    raise InputError(f"there is no pack '{name}'. Name a file, or one of: {', '.join(shipped)}")


def _read(name: Path) -> Pack:
    from ipu_moderation.rules.schema import read_pack

    path = _path(name)
    pack, _, faults = read_pack(path)
    if pack is None:
        raise PackError(f"{path.name} has faults; see them by: ipu-moderation rules check {path}", tuple(map(str, faults)))
    return pack


def _posts(path: Path, text_column: str, language_column: str | None, language: str) -> Iterator[Post]:
    """Rows with a text, of `language` where they do not say; rows that cannot be read are named on standard error."""
    from ipu_moderation import batch

    for row in batch.read(path, batch.Columns(text=text_column, language=language_column)):
        if row.text is None:
            _err.print(escape(str(row.error)), highlight=False, soft_wrap=True)
        else:
            yield row.id, row.text, row.language or language
