"""The transparency report: JSON for machines, one HTML file for people that prints well and loads nothing from elsewhere."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ipu_moderation.errors import InputError, MissingExtraError
from ipu_moderation.resources import model_directory
from ipu_moderation.taxonomy import Category, TargetGroup

_TEMPLATE = model_directory().parent / "reports" / "transparency.html.j2"

#: Dark enough to print in grey, and told apart by people who see no red or green. Source: Okabe and Ito, Color Universal Design, 2008.
_COLOURS = {"line": "#0072B2", "light": "#56B4E9", "warn": "#D55E00"}


def write_report(figures: Mapping[str, Any], path: Path, *, title: str = "Transparency report") -> None:
    """Write collected figures as .html or .json.

    Raises:
        InputError: when the ending is another or the directory missing.
        MissingExtraError: when the packages for HTML are not installed.
    """
    if path.suffix not in (".html", ".json"):
        raise InputError(f"{path}: a report is written as .html or .json")
    if not path.parent.is_dir():
        raise InputError(f"{path.parent}: no such directory")
    content = json.dumps(figures, indent=1) if path.suffix == ".json" else render(figures, title=title)
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(content + "\n", encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def render(figures: Mapping[str, Any], *, title: str = "Transparency report") -> str:
    """Figures as one HTML page.

    Raises:
        MissingExtraError: when the packages for HTML are not installed.
    """
    try:
        import jinja2
    except ImportError as error:
        raise MissingExtraError("the HTML report", "review") from error
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(share=_share, number=_number, name=_name, hours=_hours, alpha=lambda v: "-" if v is None else f"{v:.2f}")
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    languages = figures["reviewed"]["by_language"]
    charts = {
        "wrongly_touched": _intervals({code: row["wrongly_touched"] for code, row in languages.items()}, "share of reviewed posts without a reason for restriction"),
        "by_category": _intervals(
            {_name(c): row["wrongly_touched"] for c, row in figures["reviewed"]["by_category"].items()}, "share of reviewed posts without a reason for restriction"
        ),
        "missed": _intervals({code: row["share"] for code, row in figures["missed"]["by_language"].items()}, "share of allowed posts that people would have restricted", "warn"),
    }
    questions = {c.value: c.guideline for c in Category}
    groups = {g.value: g.guideline for g in TargetGroup}
    return template.render(f=figures, title=title, charts=charts, questions=questions, groups=groups)


def _share(figure: Mapping[str, Any]) -> str:
    """`12.3 % (10.1 to 14.9)`, or `-` for unknown."""
    if figure["value"] is None:
        return "-"
    digits = 1 if figure["value"] >= 0.01 or figure["value"] == 0 else 2
    return f"{100 * figure['value']:.{digits}f} % ({100 * figure['low']:.{digits}f} to {100 * figure['high']:.{digits}f})"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}".replace(",", "\u202f")


def _hours(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{60 * value:.0f} min" if value < 1 else f"{value:.1f} h"


def _name(value: str) -> str:
    return value.replace("_", " ")


def _intervals(figures: Mapping[str, Mapping[str, Any]], label: str, colour: str = "line") -> str:
    """A chart of shares with their intervals, as inline SVG; empty when none is known."""
    known = {name: figure for name, figure in figures.items() if figure["value"] is not None}
    if not known:
        return ""
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("the HTML report", "review") from error
    names = sorted(known, key=lambda name: known[name]["value"])[-20:]
    with matplotlib.rc_context({"font.family": "DejaVu Sans", "font.size": 9, "svg.fonttype": "none", "svg.hashsalt": "ipu-moderation"}):
        figure = Figure(figsize=(7, 0.55 + 0.28 * len(names)), layout="constrained")
        axes = figure.add_subplot()
        for i, name in enumerate(names):
            one = known[name]
            axes.plot([100 * one["low"], 100 * one["high"]], [i, i], color=_COLOURS[colour], linewidth=2, alpha=0.55, solid_capstyle="butt")
            axes.plot([100 * one["value"]], [i], "o", color=_COLOURS[colour], markersize=5)
        axes.set_yticks(range(len(names)), [f"{name}  (n = {known[name]['n']})" for name in names])
        most = 100 * max(one["high"] for one in known.values())
        axes.set_xlim(0, 100 if most > 60 else 1.08 * most)
        axes.set_ylim(-0.6, len(names) - 0.4)
        axes.set_xlabel(f"{label}, in % with 95 % interval")
        axes.grid(axis="x", color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :]
    return re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
