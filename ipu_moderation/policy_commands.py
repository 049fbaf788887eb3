"""The commands `policy fit | compare | show`: thresholds with a guarantee, a policy beside another, and what a policy promises."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ipu_moderation.errors import InputError
from ipu_moderation.taxonomy import SCORED, Category
from ipu_moderation.terminal import errors
from ipu_moderation.terminal import stderr as _err

if TYPE_CHECKING:
    from ipu_moderation.policy import Policy
    from ipu_moderation.shadow import Slice
    from ipu_moderation.thresholds import Calibration, Change
    from ipu_moderation.types import Assessment

policy_app = typer.Typer(no_args_is_help=True, help="Policies: choose thresholds with a guarantee, compare two policies, show what one promises.")
_out = Console()

AsJson = Annotated[bool, typer.Option("--json", help="As JSON on standard output.")]
PolicyArgument = Annotated[str, typer.Argument(help="A preset by name, or the path of a policy file.", metavar="POLICY")]


@policy_app.command()
def fit(
    scores: Annotated[
        Path, typer.Argument(help="Scores with language, score_hate ... and label_hate ... (.parquet, .jsonl, .csv, .tsv), or what `assess -o FILE` wrote.", metavar="SCORES")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The policy file (.yaml) to write; its evidence appears beside it as .evidence.json.")],
    labels: Annotated[Path | None, typer.Option(help="The file with the labels, when SCORES has none; joined by id.")] = None,
    name: Annotated[str | None, typer.Option(help="The name of the policy; that of the file without it.")] = None,
    alpha: Annotated[float | None, typer.Option(help="The largest share of protected posts that may be sent to review. 0.02 unless --capacity is given.")] = None,
    alpha_hold: Annotated[float | None, typer.Option(help="The largest share that may reach a hold threshold. Without it the policy never holds.")] = None,
    confidence: Annotated[float, typer.Option(help="With which all promises hold together.")] = 0.95,
    capacity: Annotated[float | None, typer.Option(help="Posts that people can read in a day: it chooses instead of --alpha. Needs --volume and --prevalence.")] = None,
    volume: Annotated[float | None, typer.Option(help="Posts a day, all languages.")] = None,
    prevalence: Annotated[float | None, typer.Option(help="The share of the stream that is what is looked for; 0.015 is usual.")] = None,
    category: Annotated[list[Category] | None, typer.Option(help="Only these categories (repeat it); all that have labels without it.")] = None,
    group: Annotated[list[str] | None, typer.Option(help="Languages that share thresholds, as NAME=CODE,CODE (repeat it).")] = None,
    at_least: Annotated[int | None, typer.Option(help="Protected posts from which a language stands alone; the others are pooled.")] = None,
    mix: Annotated[list[str] | None, typer.Option(help="The share of the stream of a language or group, as CODE=SHARE (repeat it); that of the file without it.")] = None,
    together: Annotated[bool, typer.Option("--together", help="One threshold for all categories, so that the promise is about a post and not about a category.")] = False,
    each: Annotated[bool, typer.Option("--each", help="Each promise holds with the confidence given, but not all of them together.")] = False,
    rules_of: Annotated[str, typer.Option(help="The policy whose review findings and hold hours are taken over; 'none': rules send nothing to review.")] = "cautious",
    as_json: AsJson = False,
) -> None:
    """Choose thresholds on labelled scores, so that a promise about protected expression is kept; or say why none can be."""
    from ipu_moderation.policy import load_policy
    from ipu_moderation.thresholds import fit_all, policy_name, read_scored

    with errors():
        if output.suffix not in (".yaml", ".yml"):
            raise InputError(f"{output}: a policy is written as .yaml")
        policy_name(output, name)
        if alpha is not None and capacity is not None:
            raise InputError("--alpha and --capacity both choose the thresholds: give one of them")
        like = None if rules_of == "none" else load_policy(rules_of)
        calibration = fit_all(
            read_scored(scores, labels),
            alpha=None if capacity is not None else 0.02 if alpha is None else alpha,
            delta=round(1 - confidence, 12),
            alpha_hold=alpha_hold,
            categories=category,
            multiplicity="each" if each else "bonferroni",
            together=together,
            mapping=_members(group),
            at_least=at_least,
            review_findings=[c.value for c in like.review_findings] if like else [],
            prevalence=prevalence,
            volume=volume,
            capacity=capacity,
            mix=_shares(mix),
        )
        if as_json:
            print(json.dumps(calibration.to_dict(), indent=1))
        else:
            _show_fits(calibration)
        for warning in calibration.warnings:
            _err.print(f"[yellow]warning:[/yellow] {escape(warning)}", highlight=False, soft_wrap=True)
        policy, evidence = calibration.write(output, name, hold_hours=like.hold_hours if like else 24)
        load_policy(policy)  # what is written can be used: its examples have run
        _err.print(f"Written: {policy}, {evidence}", highlight=False, soft_wrap=True)


@policy_app.command()
def compare(
    a: PolicyArgument,
    b: Annotated[str, typer.Argument(help="The policy that may take its place.", metavar="OTHER")],
    source: Annotated[Path, typer.Argument(help="Assessments as `assess -o FILE.jsonl` wrote them.", metavar="ASSESSMENTS")],
    as_json: AsJson = False,
) -> None:
    """What would change, by language and group, if another policy took the place of one. Nothing is changed."""
    from ipu_moderation.policy import load_policy
    from ipu_moderation.shadow import Shadow

    unread = 0
    with errors():
        shadow = Shadow(load_policy(a), load_policy(b))
        for assessment in _assessments(source):
            if assessment is None:
                unread += 1
            else:
                shadow.decide(assessment)
        comparison = shadow.comparison()
        if as_json:
            print(json.dumps({**comparison.to_dict(), "rows_not_read": unread}, indent=1))
        else:
            for line in comparison.words():
                _out.print(escape(line), highlight=False, soft_wrap=True)
            for title, slices in (("language", comparison.by_language), ("group", comparison.by_group), ("category", comparison.by_category)):
                _out.print()
                _print_table(_moves_table(title, slices))
        if unread:
            _err.print(f"{source}: {unread} rows are no assessments and were left out", highlight=False, soft_wrap=True)
    if unread:
        raise typer.Exit(3)


@policy_app.command()
def show(
    policy: PolicyArgument,
    stream: Annotated[Path | None, typer.Option(help="Scores of posts of today, in the order of time (or with a column `time`): does the promise still fit them?")] = None,
    prevalence: Annotated[float, typer.Option(help="With --stream: the share of what is looked for that a change of the scores may be due to.")] = 0.02,
    trade_off: Annotated[bool, typer.Option("--trade-off", help="What other thresholds would mean, where the evidence says so.")] = False,
    as_json: AsJson = False,
) -> None:
    """What a policy does and promises, on what evidence; with --stream, whether the promise still fits the posts of today."""
    from ipu_moderation.policy import load_policy
    from ipu_moderation.thresholds import Drift, read_scored

    with errors():
        chosen = load_policy(policy)
        evidence = _evidence(policy, chosen)
        changes: tuple[Change, ...] = ()
        if stream is not None:
            if evidence is None:
                raise InputError(f"{chosen.id}: there is no evidence at hand to compare a stream with. Make a policy with evidence: ipu-moderation policy fit")
            changes = Drift.from_dict(evidence.get("reference") or {}).check(read_scored(stream, need_labels=False), prevalence=prevalence)
        if as_json:
            tests = [c.to_dict() for c in changes]
            kept = {k: v for k, v in (evidence or {}).items() if k != "reference"} or None
            print(json.dumps({"policy": chosen.model_dump(mode="json"), "evidence": kept, "stream": tests if stream else None}, indent=1))
        else:
            _show_policy(chosen, evidence, trade_off)
            for change in changes:
                _out.print(f"{'[yellow]changed[/yellow]' if change.changed else '[green]alike[/green]'}  {escape(change.words)}", highlight=False, soft_wrap=True)
        for change in changes:
            if change.changed and as_json:
                _err.print(f"[yellow]warning:[/yellow] {escape(change.words)}", highlight=False, soft_wrap=True)


# --- reading -----------------------------------------------------------------------------------------------------------------------------------


def _members(groups: list[str] | None) -> dict[str, str]:
    """NAME=CODE,CODE -> {code: name}."""
    out: dict[str, str] = {}
    for given in groups or ():
        name, sign, codes = given.partition("=")
        members = [c.strip() for c in codes.split(",") if c.strip()]
        if not sign or not name.strip() or not members:
            raise InputError(f"--group {given}: NAME=CODE,CODE is expected, for example maghreb=ary,arq,aeb")
        for code in members:
            if code in out:
                raise InputError(f"--group {given}: {code} is in group {out[code]} already")
            out[code] = name.strip()
    return out


def _shares(mix: list[str] | None) -> dict[str, float] | None:
    """CODE=SHARE -> {code: share}; None when nothing was said."""
    out: dict[str, float] = {}
    for given in mix or ():
        code, _, share = given.partition("=")
        try:
            out[code.strip()] = float(share)
        except ValueError:
            raise InputError(f"--mix {given}: CODE=SHARE is expected, for example de=0.4") from None
    if out and (min(out.values()) < 0 or not 0 < sum(out.values()) <= 1 + 1e-9):
        raise InputError(f"--mix: the shares are at least 0 and sum up to at most 1; these sum up to {sum(out.values()):g}")
    return out or None


def _assessments(source: Path) -> Iterator[Assessment | None]:
    """Assessments of a JSONL file; None for a row that is none."""
    from ipu_moderation.types import Assessment

    try:
        lines = source.open(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{source}: {error.strerror}") from error
    with lines:
        for line in filter(str.strip, lines):
            try:
                yield Assessment.from_dict(json.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError):
                yield None


def _evidence(name: str, policy: Policy) -> dict[str, Any] | None:
    """The evidence file, beside the policy or from where one stands; None when it is not at hand."""
    if policy.evidence is None:
        return None
    for path in (Path(name).parent / policy.evidence, Path(policy.evidence)):
        if path.is_file():
            try:
                data = json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise InputError(f"{path}: the evidence of {policy.id} is no valid JSON") from error
            return data if isinstance(data, dict) else None
    return None


# --- showing -----------------------------------------------------------------------------------------------------------------------------------


def _print_table(table: Table) -> None:
    """Numbers are not cut off where the terminal is narrow, or there is none."""
    _out.print(table, width=max(_out.width, 110), crop=False)


def _show_fits(calibration: Calibration) -> None:
    _out.print(escape(calibration.words()), highlight=False, soft_wrap=True)
    _out.print()
    loads = any(f.review.load for f in calibration.fits)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column, justify in (("language", "left"), ("category", "left"), ("protected", "right"), ("review", "right"), ("touched", "right"), ("recall", "left"), ("hold", "right")):
        table.add_column(column, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    if loads:
        table.add_column("a day", justify="right", no_wrap=True)
        table.add_column("precision", justify="right", no_wrap=True)
    for one in calibration.fits:
        review, load = one.review, one.review.load
        cells = [one.group, one.category.value if one.category else "any", f"{review.protected:,}", _number(review.threshold)]
        touched = f"{review.touched.value:.1%}" if review.touched and review.threshold is not None else "-"
        recall = f"{review.recall.value:.1%} ({review.recall.low:.1%}-{review.recall.high:.1%})" if review.recall else "-"
        cells += [touched, recall, _number(one.hold.threshold) if one.hold else "-"]
        if loads:
            cells += [f"{load.reviews:,.0f}" if load else "-", f"{load.precision:.0%}" if load and load.precision is not None else "-"]
        table.add_row(*map(escape, cells))
    _print_table(table)
    for one in calibration.fits:
        for promise in (one.review, one.hold):
            if promise and promise.threshold is None:
                more = f" About {promise.needed:,} labelled protected posts would do." if promise.needed else ""
                _out.print(
                    escape(f"none  {one.group}, {one.category.value if one.category else 'any'}, {promise.action.value}: {promise.reason}.{more}"), highlight=False, soft_wrap=True
                )


def _number(threshold: float | None) -> str:
    return "none" if threshold is None else f"{threshold:.3f}"


def _moves_table(title: str, slices: tuple[Slice, ...]) -> Table:
    from ipu_moderation.types import Action

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(title, no_wrap=True)
    for column in ("posts", "review", "hold", "stronger", "weaker"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("newly touched", no_wrap=True)
    for one in slices:
        moved = [f"{one.under_a(action):,} -> {one.under_b(action):,}" for action in (Action.REVIEW, Action.HOLD)]
        touched = one.newly_touched
        share = f"{touched.value:.1%} ({touched.low:.1%}-{touched.high:.1%})" if touched else "-"
        table.add_row(*map(escape, (one.name, f"{one.posts:,}", *moved, f"{one.stronger:,}", f"{one.weaker:,}", share)))
    return table


def _show_policy(policy: Policy, evidence: dict[str, Any] | None, trade_off: bool) -> None:
    _out.print(f"[bold]{escape(policy.id)}[/bold]  {escape(policy.about.strip())}", highlight=False, soft_wrap=True)
    _out.print()
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("language", no_wrap=True)
    for category in SCORED:
        table.add_column(f"{category.value}", no_wrap=True)
    for language, cuts in [("any other" if policy.languages else "any", policy.default), *sorted(policy.languages.items())]:
        # a language that says nothing of a category takes the default
        shown = [cuts.get(c) or policy.default.get(c) for c in SCORED]
        table.add_row(escape(language), *(f"{_or_never(c.review)} / {_or_never(c.hold)}" if c else "never / never" for c in shown))
    _out.print("Scores from which a post is sent to review / may be held, when a rule found something too:", highlight=False, soft_wrap=True)
    _print_table(table)
    _out.print(f"Rules that send a post to review by themselves: {', '.join(c.value for c in policy.review_findings) or 'none'}.", highlight=False, soft_wrap=True)
    _out.print(f"A hold lapses after {policy.hold_hours:g} hours unless a person confirmed it. A person decides every restriction.", highlight=False, soft_wrap=True)
    _out.print()
    if evidence is None:
        why = f"its evidence ({policy.evidence}) is not at hand" if policy.evidence else "it names no evidence"
        _out.print(escape(f"What it promises cannot be said: {why}. Choose thresholds on your own labels with: ipu-moderation policy fit"), highlight=False, soft_wrap=True)
        return
    said = (("Promise", [evidence["what"]] if "what" in evidence else []), ("It assumes", evidence.get("assumptions", [])), ("Warning", evidence.get("warnings", [])))
    for title, lines in said:
        for line in lines:
            _out.print(f"[bold]{title}:[/bold] {escape(str(line))}", highlight=False, soft_wrap=True)
    if trade_off:
        _show_trade_off(evidence.get("trade_off") or [])


def _or_never(threshold: float | None) -> str:
    return "never" if threshold is None else f"{threshold:g}"


def _show_trade_off(rows: list[dict[str, Any]]) -> None:
    if not rows:
        _out.print("The evidence says nothing of other thresholds: they are worked out when `policy fit` knows --volume and --prevalence.", highlight=False, soft_wrap=True)
        return
    table = Table("language", "category", "threshold", "touched", "recall", "a day", "precision", box=None, pad_edge=False, header_style="bold")
    for row in rows:
        for at in row["at"]:
            share = [f"{at[k]['value']:.2%}" if at.get(k) else "-" for k in ("touched", "recall")]
            day = [f"{at['reviews_per_day']:,.0f}" if at.get("reviews_per_day") is not None else "-", f"{at['precision']:.0%}" if at.get("precision") is not None else "-"]
            table.add_row(escape(row["group"]), escape(row["category"]), f"{at['threshold']:g}", *share, *day)
    _out.print()
    _print_table(table)
