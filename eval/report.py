"""Results -> one self-contained HTML file, and a short table on the terminal.

    python -m eval.report .work/eval/posts-default/results.json -o report.html

The file needs no network, prints, and can be read by keyboard and screen reader. It holds figures only; texts only when `compare --show-text` asked.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eval.drawing import SHORT, Plot, number, plot_curve, plot_forest, plot_lines, plot_reliability, plot_risk, plot_scores, restart
from eval.metrics import CONFIDENCE, ECE_BINS, FEW, FIGURES
from ipu_moderation.errors import InputError


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in one cell."""

    value: str
    ci: str = ""
    mark: bool = False
    """Few rows."""
    said: str = ""
    """For screen readers only."""
    kind: str = ""
    """A class of the style sheet."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table."""

    name: str
    cells: list[Cell]
    about: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """One table."""

    caption: str
    head: list[str]
    rows: list[Row]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Plots:
    """Drawings side by side."""

    plots: list[Plot]
    title: str = ""
    wide: bool = False


@dataclass(slots=True)
class Section:
    """One part of the report."""

    id: str
    title: str
    intro: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    plots: list[Plots] = field(default_factory=list)
    facts: list[tuple[str, str]] = field(default_factory=list)


# --- figures as text -----------------------------------------------------------------------------------------------------------------------------


def cell(figure: Mapping[str, Any] | None, name: str, *, kind: str = "", sign: bool = False) -> Cell:
    """A figure with its interval; `-` when unknown, with the reason for those who cannot see the note."""
    if figure is not None and figure.get("value") is None and figure.get("low") is not None:
        return Cell(f"≥ {number(figure['low'], name)}", said=str(figure.get("note", "")), kind=kind)
    if figure is None or figure.get("value") is None:
        return Cell("-", said=f"unknown: {(figure or {}).get('note', 'not measured')}", kind=kind)
    show = (lambda v: f"{'+' if v > 0 else ''}{number(v, name)}") if sign else (lambda v: number(v, name))
    ci = "" if figure.get("low") is None or figure.get("high") is None else f"{show(figure['low'])} to {show(figure['high'])}".replace(" % to", " to")
    marked = str(figure.get("note", "")).startswith("few")
    return Cell(show(figure["value"]), ci, marked, str(figure["note"]) if marked else "", kind)


def whole(value: int | None) -> Cell:
    """A count."""
    return Cell("-" if value is None else f"{value:,}")


def _tone(value: float | None, good: float = 0.9, bad: float = 0.6) -> str:
    return "" if value is None else "good" if value >= good else "bad" if value < bad else "middle"


# --- sections ----------------------------------------------------------------------------------------------------------------------------------------

_LANGUAGE_COLUMNS = ("macro_f1", "auc", "recall", "fpr", "precision", "precision_at_1pc", "recall_at_fpr_5pc", "ece")


def _all_figures(title: str, overall: Mapping[str, Any]) -> Table:
    rows = []
    for name, about in FIGURES.items():
        rows.append(Row(SHORT[name], [cell(overall[c][name], name) for c in overall], about))
    rows.insert(0, Row("rows", [whole(overall[c]["prevalence"]["n"]) for c in overall], "with a label"))
    return Table(title, ["figure", *(c.replace("_", " ") for c in overall)], rows)


def _by_part(title: str, first: str, parts: Mapping[str, Any], category: str, columns: Iterable[str] = _LANGUAGE_COLUMNS) -> Table:
    columns, rows = list(columns), []
    for part, figures in parts.items():
        if category in figures:
            f = figures[category]
            rows.append(Row(part, [whole(f["prevalence"]["n"]), cell(f["prevalence"], "prevalence"), *(cell(f[c], c) for c in columns)]))
    return Table(f"{title}: {_words(category)}", [first, "rows", "labelled yes", *(SHORT[c] for c in columns)], rows, _few(rows))


def _few(rows: list[Row]) -> str:
    """What the mark means, when it stands somewhere."""
    return f"† fewer than {FEW} rows of a class, or templates: the interval cannot be trusted." if any(c.mark for r in rows for c in r.cells) else ""


def _words(name: str) -> str:
    return name.replace("_", " ")


def _evaluation(r: Mapping[str, Any]) -> list[Section]:
    sections = [_how_to_read()]
    overall = r["overall"]
    sections.append(Section("overall", "Overall", tables=[_all_figures("All figures, all rows", overall)]))
    if r["language"]:
        section = Section("language", "By language", ["The language with most rows first."])
        for category in overall:
            table = _by_part("By language", "language", r["language"], category)
            if table.rows and any(c.value != "-" for row in table.rows for c in row.cells[2:]):
                section.tables.append(table)
        figures = [(code, f[c]["macro_f1"]) for c in [next(iter(overall))] for code, f in r["language"].items() if c in f]
        if sum(f["value"] is not None for _, f in figures) > 1:
            section.plots.append(Plots([plot_forest(f"Macro-F1 by language, {next(iter(overall))}", figures, "macro-F1")], wide=True))
        for c, m in r["mean_over_languages"].items():
            if m["macro_f1"]["n"]:
                told = (f"{SHORT[k]} {number(m[k]['value'], k)} ({m[k]['n']} languages)" for k in ("macro_f1", "auc"))
                section.facts.append((f"mean over languages, {_words(c)}", ", ".join(told)))
        sections.append(section)
    if r["functionality"]:
        sections.append(_functionality(r))
    if r["protected"]:
        sections.append(_protected(r))
    if r["groups"]:
        sections.append(_groups(r["groups"]))
    if r["consistency"]:
        rows = [Row(name, [whole(f["spread"]["n"]), cell(f["same_answer"], "recall"), cell(f["spread"], "spread")]) for name, f in r["consistency"].items()]
        intro = ["Sentences of one template differ in the group that they name and in nothing else. The answer should stay, and so should the score."]
        table = Table("Templates filled with several groups", ["language", "templates", "same answer for all", "mean spread of the score"], rows, _few(rows))
        sections.append(Section("consistency", "Same sentence, another group", intro, [table]))
    if r["side"]:
        side = r["side"]
        table = _by_part("By political side", "side", side["by_side"], side["category"])
        facts = [(f"widest gap in {SHORT[k]}", _said(side["gap"][k], k)) for k in ("fpr", "recall")]
        sections.append(Section("side", "By political side", ["An insult to one side and to the other should be answered alike."], [table], facts=facts))
    if r["source"]:
        section = Section("source", "By source")
        section.tables = [t for c in overall if (t := _by_part("By source", "source", r["source"], c)).rows]
        sections.append(section)
    sections.append(_review(r))
    if r["curves"]:
        section = Section("curves", "Curves and calibration")
        for category, points in r["curves"].items():
            f = overall[category]
            plots = [plot_reliability(category, points["reliability"], f["ece"])]
            if "precision_recall" in points:
                plots.append(plot_curve(category, points["precision_recall"], f, f["prevalence"].get("value")))
            plots += [plot_risk(category, points["risk_coverage"], f), plot_scores(category, points["scores"])]
            section.plots.append(Plots(plots, category))
        sections.append(section)
    sections.append(_cohort(r))
    return sections


def _said(figure: Mapping[str, Any], name: str) -> str:
    """A figure in a line of text."""
    c, note = cell(figure, name), figure.get("note")
    return f"- ({note or 'unknown'})" if c.value == "-" else f"{c.value} ({c.ci}{f'; {note}' if note else ''})"


def _how_to_read() -> Section:
    return Section(
        "reading",
        "How to read this",
        [
            f"Every figure stands above its {100 * CONFIDENCE:.0f} % interval: what the figure could be on other posts of the same kind. "
            "Two figures whose intervals overlap widely are not known to differ.",
            "A dash is an unknown figure: the data cannot give it. It is not a zero.",
            "In an open stream one or two posts in a hundred are hateful. Test data holds many more, which flatters precision: "
            "look at the precision and the load at 1 % and 2 %.",
            "AUROC and average precision judge the order of scores and need no threshold; the other figures depend on the threshold named at the end of this report.",
            f"Calibration error compares {ECE_BINS} bins of scores with the share labelled yes; 0 is best.",
        ],
    )


def _functionality(r: Mapping[str, Any]) -> Section:
    table, categories = r["functionality"], list(r["overall"])
    main = categories[0]

    def worst(item: tuple[str, Any]) -> tuple[float, str]:
        value = item[1].get(main, {}).get("value")
        return (2.0 if value is None else value, item[0])

    rows = []
    for name, row in sorted(table.items(), key=worst):
        shares = (cell(row.get(c), "recall", kind=_tone(row.get(c, {}).get("value"))) for c in categories)
        rows.append(Row(name, [Cell(row.get(main, {}).get("expected", "-"), kind="word"), whole(max(f["n"] for f in row.values())), *shares]))
    note = "The share answered as expected, by category; a dash where nothing is expected. The worst first. Green from 90 %, red below 60 %. " + _few(rows)
    head = ["test", f"{main} expected", "rows", *map(_words, categories)]
    section = Section("functionality", "By functionality", tables=[Table("Functional tests, all languages", head, rows, note)])
    by_language = r.get("functionality_by_language") or {}
    if len(by_language) > 1:
        codes = sorted(by_language)
        rows = []
        for name, _ in sorted(table.items(), key=worst):
            cells = []
            for code in codes:
                value = by_language[code].get(name, {}).get(main, {}).get("value")
                cells.append(Cell("-", said="not tested") if value is None else Cell(f"{100 * value:.0f}", kind=_tone(value)))
            rows.append(Row(name, cells))
        section.tables.append(Table(f"Functional tests by language: {main}, per cent answered as expected", ["test", *codes], rows))
    return section


def _protected(r: Mapping[str, Any]) -> Section:
    shares = ("over_flagged", "sent", "held") if any(f["sent"].get("value") is not None for f in r["protected"].values()) else ("over_flagged",)
    rows = [Row(_words(name), [whole(f["over_flagged"]["n"]), *(cell(f[k], "recall") for k in shares)]) for name, f in r["protected"].items()]
    head = ["kind", "rows", "over-flagged", f"sent to a reviewer ({r['cohort']['policy']})", "held"][: 2 + len(shares)]
    intro = ["Expression that is to be left alone. Over-flagged: some category is answered yes that the label says no to. Low is good."]
    return Section("protected", "Protected expression", intro, [Table("Over-flagging by kind of protected expression", head, rows, _few(rows))])


def _groups(g: Mapping[str, Any]) -> Section:
    columns = ("recall", "fpr", "subgroup_auc", "bpsn_auc", "bnsp_auc")
    rows = [Row(name, [whole(f["n"]), *(cell(f[c], c) for c in columns)]) for name, f in g["by_group"].items()]
    means = g["power_mean"]
    about = "over groups with enough rows; the worst groups weigh most"
    rows.append(Row("power mean (p = -5)", [Cell(""), Cell(""), Cell(""), *(cell(means[c], c) for c in columns[2:])], about))
    table = Table(f"By group that the post speaks of: {g['category']}", ["group", "rows", *(SHORT[c] for c in columns)], rows, _few(rows))
    facts = [(f"widest gap in {SHORT[k]}", _said(g["gap"][k], k)) for k in ("fpr", "recall")]
    intro = [
        "Subgroup AUC: order within the posts that speak of the group. BPSN: other posts labelled yes against posts of this group labelled no; low when the group's mere mention "
        "raises the score. BNSP: other posts labelled no against posts of this group labelled yes; low when attacks on it are missed."
    ]
    return Section("groups", "By group", intro, [table], facts=facts)


def _review(r: Mapping[str, Any]) -> Section:
    v, rows = r["review"], []
    if v["all"]["sent"].get("value") is None:
        why = "The model gives scores and no policy is behind it, so what it would send to reviewers is unknown. See the load at 1 % and 2 % above."
        return Section("review", "Review load", [why])
    for key, name in (("all", "all posts of this data"), ("labelled_yes", f"labelled {v['category']}"), ("labelled_no", f"not labelled {v['category']}")):
        rows.append(Row(name, [whole(v[key]["sent"]["n"]), cell(v[key]["sent"], "recall"), cell(v[key]["held"], "recall")]))
    loads = [(k, p) for k, p in (("load_at_1pc", "1 %"), ("load_at_2pc", "2 %")) if v[k]["value"] is not None]
    facts = [(f"of 1,000 posts of an open stream, {p} of them {v['category']}", f"{_said(v[k], k)} go to a reviewer") for k, p in loads]
    intro = [
        f"What policy {r['cohort']['policy']} does with these posts. A machine allows, sends to a reviewer, or holds for a reviewer; a person decides every restriction. "
        f"Posts not labelled {v['category']} may be sent for another reason, such as threats."
    ]
    return Section("review", "Review load", intro, [Table("Sent to a reviewer", ["posts", "rows", "sent to a reviewer", "held"], rows)], facts=facts)


def _cohort(r: Mapping[str, Any]) -> Section:
    c = r["cohort"]
    facts = [
        ("data", f"{c['data']['name']}, {c['data']['usable']:,} of {c['data']['rows']:,} rows, SHA-256 {c['data']['sha256']}"),
        ("labels", "; ".join(f"{k}: {n['yes']:,} yes, {n['no']:,} no" for k, n in c["data"]["counts"].items())),
        ("mapping", json.dumps(c["mapping"], ensure_ascii=False)),
        ("thresholds", c["threshold_policy"]),
        ("policy", c["policy"]),
    ]
    if "model" in c:
        m = c["model"]
        facts.append(("model", f"{m['model']} (" + ", ".join(f"{k} {v}" for k, v in m["versions"].items()) + ")"))
        facts.append(("speed and memory", _speed(m)))
    facts += [("versions", ", ".join(f"{k} {v}" for k, v in c["versions"].items())), ("chance", f"seed {c['seed']}, {c['resamples']} resamples"), ("date", c["date"])]
    return Section("cohort", "What was measured with what", ["Two figures may be compared only when all of this agrees."], facts=facts)


def _speed(m: Mapping[str, Any]) -> str:
    speed, peak = m.get("posts_per_second"), m.get("peak_mb")
    return f"{'-' if speed is None else format(speed, ',.0f')} posts a second on {m['cores']} cores; at most {'-' if peak is None else format(peak, ',.0f')} MB of memory"


_MODEL_COLUMNS = ("macro_f1", "auc", "average_precision", "recall", "fpr", "recall_at_fpr_5pc", "precision_at_1pc")


def _comparison(r: Mapping[str, Any], texts: Mapping[int, str] | None) -> list[Section]:
    category = r["differences"][0]["category"]
    rows = []
    for name, m in r["models"].items():
        run = m["run"]
        f = m["overall"][category]
        rest = [Cell("-" if run[k] is None else f"{run[k]:,.0f}") for k in ("posts_per_second", "peak_mb")]
        rows.append(Row(name, [*(cell(f[c], c) for c in _MODEL_COLUMNS), *rest, Cell(f"{run['load_seconds']:.1f}")]))
    head = ["model", *(SHORT[c] for c in _MODEL_COLUMNS), "posts a second", "peak MB", "seconds to load or fit"]
    sections = [Section("models", "Models side by side", [f"Category: {category}. Thresholds: {r['cohort']['threshold_policy']}."], [Table("Quality, speed, memory", head, rows)])]
    if "gate" in r:
        g = r["gate"]
        passed = ["Passed."] if not g["faults"] else ["Not passed.", *g["faults"]]
        sections.append(Section("gate", f"Gate: no worse than {g['margin']:g} in {SHORT[g['figure']]}", passed))
    for i, pair in enumerate(r["differences"], 1):
        sections.append(_difference(pair, i, texts))
    return [*sections, _cohort(r)]


def _difference(pair: Mapping[str, Any], i: int, texts: Mapping[int, str] | None) -> Section:
    columns = ("macro_f1", "f1", "auc", "recall", "fpr", "accuracy")

    def row(name: str, found: Mapping[str, Any]) -> Row:
        m = found["mcnemar"]
        p = "-" if m["p"] is None else "< 0.001" if m["p"] < 0.001 else f"{m['p']:.3f}"
        cells = [cell(found["difference"][c], c, sign=True, kind=_better(found["difference"][c], c)) for c in columns]
        return Row(name, [whole(found["n"]), *cells, Cell(f"{m['only_a_right']:,} / {m['only_b_right']:,}"), Cell(p)])

    head = ["part", "rows", *(SHORT[c] for c in columns), "only A / only B right", "McNemar p"]
    note = "B minus A, paired bootstrap. Coloured where the whole interval is on one side of zero: green when B is better."
    section = Section(f"pair-{i}", f"B: {pair['b']} against A: {pair['a']}")
    section.tables.append(Table("By category, all rows", head, [row(c, f) for c, f in pair["overall"].items()], note))
    for division in ("language", "functionality"):
        if pair[division]:
            section.tables.append(Table(f"By {division}: {pair['category']}", head, [row(name, f) for name, f in pair[division].items()]))
    d = pair["disagreements"]
    if d["rows"]:
        head = ["row", "language", "test", "label", "score A", "score B", "right", *(["text"] if texts is not None else [])]
        rows = []
        for x in d["rows"]:
            cells = [Cell(x["language"], kind="word"), Cell(x["functionality"] or "-", kind="word"), Cell(x["label"])]
            cells += [Cell(f"{x['a']:.3f}"), Cell(f"{x['b']:.3f}"), Cell(x["right"].upper())]
            rows.append(Row(str(x["row"]), cells + ([Cell(texts.get(x["row"], "-"), kind="text")] if texts is not None else [])))
        note = "By row of the data, the widest apart first." + ("" if texts is not None else " Texts are hidden; --show-text shows them.")
        section.tables.append(Table(f"{len(rows)} of {d['n']:,} posts that the two answer differently", head, rows, note))
    return section


def _better(figure: Mapping[str, Any], name: str) -> str:
    low, high = figure.get("low"), figure.get("high")
    if low is None or high is None or low <= 0 <= high:
        return ""
    return "good" if (low > 0) != (name == "fpr") else "bad"


_RATES = {"recall": "recall on posts labelled yes", "fpr": "false-positive rate on posts labelled no"}


def _stress(r: Mapping[str, Any]) -> list[Section]:
    rows = r["cohort"]["rows"]
    section = Section("disguise", "Disguised spelling", ["Letters are changed one by one with the probability named, where the disguise can be applied to them; the others stay."])
    strengths = [p["strength"] for p in next(iter(r["disguise"].values()))["points"]]
    head, plots = ["change", "can be applied to", *(f"{s:.0%}".replace("%", "\u00a0%") for s in strengths)], []
    for rate, what in _RATES.items():
        body = [Row(k, [Cell(number(v["reach"], "recall")), *(cell(p[rate], "recall") for p in v["points"])]) for k, v in r["disguise"].items()]
        section.tables.append(Table(f"{what[0].upper()}{what[1:]}, by share of letters changed", head, body))
        lines = {k: [(100 * p["strength"], p[rate]["value"]) for p in v["points"]] for k, v in r["disguise"].items()}
        plots.append(plot_lines(f"{what[0].upper()}{what[1:]}, against disguise", lines, "per cent of letters changed", SHORT[rate], worst_is_high=rate == "fpr"))
    section.plots = [Plots(plots)]
    sections = [section]
    section = Section("surroundings", "Length, mixed languages, emoji, cutting", ["The post stays whole, and something harmless is put beside it; or its end is cut off."])
    for name, v in r["surroundings"].items():
        head = [v["unit"], *(f"{p['strength']:.0%}".replace("%", "\u00a0%") if v["unit"].startswith("share") else f"{p['strength']:g}" for p in v["points"])]
        section.tables.append(Table(name[0].upper() + name[1:], head, [Row(what, [cell(p[rate], "recall") for p in v["points"]]) for rate, what in _RATES.items()]))
    sections.append(section)
    if r["symmetry"]:
        intro = ["Sentences differ only in the side, gender or faith named. Spread: highest minus lowest score over the names. The last column says who scores above the others."]
        section = Section("symmetry", "Same sentence, somebody else", intro)
        for axis, languages in r["symmetry"].items():
            body = []
            for code, f in languages.items():
                terms = "; ".join(f"{t} {v['value']:+.3f}" for t, v in sorted(f["by_term"].items(), key=lambda i: -(i[1]["value"] or 0)))
                body.append(Row(code, [whole(f["spread"]["n"]), cell(f["spread"], "spread"), cell(f["same_answer"], "recall"), Cell(terms, kind="word")]))
            head = ["language", "sentences", "mean spread", "same answer for all", "score against the mean of the sentence"]
            section.tables.append(Table(f"Symmetry: {axis}", head, body, _few(body)))
        sections.append(section)
    cohort = _cohort(r)
    cohort.facts.insert(1, ("posts changed", f"{rows['yes']} labelled yes and {rows['no']} labelled no in {r['cohort']['category']}, chosen by hash"))
    return [*sections, cohort]


def render(results: Mapping[str, Any], texts: Mapping[int, str] | None = None) -> str:
    """The report as HTML.

    Args:
        results: of `run`, `compare` or `stress`.
        texts: by row number, when somebody asked to see them.

    Raises:
        InputError: when these are no results.
    """
    from jinja2 import Environment, FileSystemLoader

    restart()
    kind = results.get("kind")
    data = results.get("cohort", {}).get("data", {}).get("name", "-")
    keys: list[dict[str, str]] = []
    if kind == "evaluation":
        sections, title = _evaluation(results), f"{results['cohort']['model']['model']} on {data}"
        subtitle = "How well the classifier finds what the labels say, and what it does to posts that are to be left alone."
        main = next(iter(results["overall"]))
        for name in ("macro_f1", "auc", "recall", "fpr", "precision_at_1pc"):
            c = cell(results["overall"][main][name], name)
            keys.append({"name": f"{SHORT[name]}, {main}", "value": c.value, "ci": c.ci or c.said})
    elif kind == "comparison":
        sections, title = _comparison(results, texts), f"{len(results['models'])} models on {data}"
        subtitle = "The same rows, the same thresholds, the same measure."
    elif kind == "stress":
        sections, title = _stress(results), f"{results['cohort']['model']['model']} under stress, on {data}"
        subtitle = "Posts are disguised, padded, mixed and cut, and speak of somebody else."
    else:
        raise InputError("these are no results of eval.run, eval.compare or eval.stress")
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True)
    return environment.get_template("report.html.j2").render(
        title=title,
        subtitle=subtitle,
        sections=sections,
        keys=keys,
        warnings=results["warnings"],
        version=results["cohort"]["versions"]["ipu-moderation"],
        date=results["cohort"]["date"],
        closing="It holds texts that somebody asked to see: handle it with care." if texts else "It holds no text of the data.",
    )


# --- the terminal ------------------------------------------------------------------------------------------------------------------------------------


def _print(table: Table) -> None:
    from rich.console import Console
    from rich.table import Table as Rich

    console = Console()
    if not console.is_terminal:
        console = Console(width=120)
    out = Rich(title=table.caption, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for i, name in enumerate(table.head):
        out.add_column(name.replace(SHORT["fpr"], "FPR"), justify="left" if i == 0 else "right", overflow="fold", header_style="bold")
    for row in table.rows:
        out.add_row(row.name, *(c.value + ("†" if c.mark else "") + (f"\n{_narrow(c.ci)}" if c.ci else "") for c in row.cells))
    console.print(out)
    print()


def _narrow(ci: str) -> str:
    return ci.replace(" to ", "–").replace(" %", "")


def summary(results: Mapping[str, Any]) -> None:
    """Key figures on the terminal."""
    for warning in results["warnings"]:
        print(f"note: {warning}", file=sys.stderr)
    main, columns = next(iter(results["overall"])), ("macro_f1", "auc", "recall", "fpr", "precision_at_1pc")
    parts = {"all": results["overall"], **(results["language"] if len(results["language"]) > 1 else {})}
    table = _by_part("Key figures", "language", parts, main, columns)
    _print(Table(table.caption, [table.head[0], table.head[1], *table.head[3:]], [Row(r.name, [r.cells[0], *r.cells[2:]]) for r in table.rows]))


def comparison_summary(results: Mapping[str, Any]) -> None:
    """Models side by side on the terminal, and each against the first."""
    category, rows = results["differences"][0]["category"], []
    for name, m in results["models"].items():
        speed, peak = (Cell("-" if m["run"][k] is None else f"{m['run'][k]:,.0f}") for k in ("posts_per_second", "peak_mb"))
        rows.append(Row(name, [*(cell(m["overall"][category][c], c) for c in ("macro_f1", "auc", "recall", "fpr")), speed, peak]))
    _print(Table(f"{category}", ["model", "macro-F1", "AUROC", "recall", "FPR", "posts/s", "MB"], rows))
    rows = []
    for pair in results["differences"]:
        found = pair["overall"][category]
        p = Cell("-" if found["mcnemar"]["p"] is None else f"{found['mcnemar']['p']:.3g}")
        rows.append(Row(pair["b"], [*(cell(found["difference"][c], c, sign=True) for c in ("macro_f1", "auc", "recall", "fpr")), p]))
    _print(Table(f"difference to {results['differences'][0]['a']}", ["model", "macro-F1", "AUROC", "recall", "FPR", "McNemar p"], rows))


def stress_summary(results: Mapping[str, Any]) -> None:
    """Recall under disguise on the terminal."""
    head = ["change", *(f"{p['strength']:.0%}" for p in next(iter(results["disguise"].values()))["points"])]
    rows = [Row(k, [cell(p["recall"], "recall") for p in v["points"]]) for k, v in results["disguise"].items()]
    _print(Table("Recall, by share of letters changed", head, rows))


def main(arguments: list[str] | None = None) -> int:
    """The entry point."""
    from eval.run import run_command

    parser = argparse.ArgumentParser(prog="python -m eval.report", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, metavar="RESULTS", help="results.json of run, compare or stress")
    parser.add_argument("-o", "--output", type=Path, default=Path("report.html"))
    args = parser.parse_args(arguments)

    def go() -> int:
        try:
            results = json.loads(args.results.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{args.results}: not a readable results file") from error
        args.output.write_text(render(results), encoding="utf-8")
        print(args.output)
        return 0

    return run_command(go)


if __name__ == "__main__":
    sys.exit(main())
