"""Plots as inline SVG: each with a title, the same in words, and nothing that names an address outside."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

INK, SOFT, ACCENT, SECOND = "#1b1f24", "#4b5563", "#0b4f8a", "#b3420f"
LINES = ("#0b4f8a", "#b3420f", "#1d6b3a", "#6b3fa0", "#8a5a00", "#a3195b", "#0f6e84", "#5b4636", "#394b59", "#7a1f1f")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
SHARES = frozenset(
    {"prevalence", "precision", "recall", "fpr", "accuracy", "precision_at_1pc", "precision_at_2pc", "recall_at_fpr_1pc", "recall_at_fpr_5pc", "error_at_80pc"}
)
SHORT = {
    "prevalence": "labelled yes", "precision": "precision", "recall": "recall", "fpr": "false-positive rate", "accuracy": "accuracy", "f1": "F1", "macro_f1": "macro-F1",
    "precision_at_1pc": "precision at 1\u00a0%", "load_at_1pc": "load at 1\u00a0%", "precision_at_2pc": "precision at 2\u00a0%", "load_at_2pc": "load at 2\u00a0%", "auc": "AUROC",
    "average_precision": "average precision", "recall_at_fpr_1pc": "recall at FPR\u00a01\u00a0%", "recall_at_fpr_5pc": "recall at FPR\u00a05\u00a0%", "ece": "calibration error",
    "error_at_80pc": "error at 80\u00a0% coverage", "subgroup_auc": "subgroup AUC", "bpsn_auc": "BPSN AUC", "bnsp_auc": "BNSP AUC",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Plot:
    """A drawing, and the same in words."""

    svg: str
    desc: str


def number(value: float | None, name: str) -> str:
    """A value as its kind is written: shares in per cent, loads with one digit, the rest with three."""
    if value is None:
        return "-"
    if name in SHARES:
        return f"{100 * value:.1f} %"
    return f"{value:.1f}" if name.startswith("load") else f"{value:.3f}"


_drawn = 0


def restart() -> None:
    """Number the drawings of a new report from 1, so that equal results give equal files."""
    global _drawn
    _drawn = 0


def _figure(width: float = 4.2, height: float = 3.4) -> tuple[Any, Any]:
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    colours = {"axes.edgecolor": SOFT, "axes.labelcolor": INK, "text.color": INK, "xtick.color": SOFT, "ytick.color": SOFT}
    plt.rcParams.update({"svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9, **colours})
    figure, axes = plt.subplots(figsize=(width, height), layout="constrained")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e3e7ec", linewidth=0.7)
    axes.set_axisbelow(True)
    return figure, axes


def _svg(figure: Any, title: str, desc: str) -> str:
    """Inline SVG with a title and a description, ids of its own, and nothing that names an address outside."""
    import matplotlib
    import matplotlib.pyplot as plt

    global _drawn
    _drawn += 1
    stream = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": f"figure-{_drawn}"}):
        figure.savefig(stream, format="svg", metadata={"Date": None})
    plt.close(figure)
    text = stream.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text[text.index("<svg") :], flags=re.S)
    text = re.sub(r'\bid="([^"]+)"', rf'id="f{_drawn}-\1"', text)
    text = re.sub(r'(url\(#|href="#)', rf"\1f{_drawn}-", text)
    text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font: \1px system-ui, sans-serif", text)
    head = f'<title id="f{_drawn}-title">{escape(title)}</title><desc id="f{_drawn}-desc">{escape(desc)}</desc>'
    return re.sub(r"<svg [^>]*?viewBox=\"([^\"]+)\"[^>]*>", rf'<svg viewBox="\1" role="img" aria-labelledby="f{_drawn}-title f{_drawn}-desc">{head}', text, count=1).strip()


def plot_reliability(category: str, points: list[dict[str, Any]], ece: Mapping[str, Any]) -> Plot:
    figure, axes = _figure()
    x, y = [p["score"] for p in points], [p["value"] for p in points]
    axes.plot([0, 1], [0, 1], color=SOFT, linewidth=1, linestyle=(0, (4, 3)))
    axes.errorbar(x, y, yerr=[[p["value"] - p["low"] for p in points], [p["high"] - p["value"] for p in points]], fmt="o", color=ACCENT, markersize=4, linewidth=1)
    axes.set(xlabel=f"score for {category}", ylabel="share labelled yes", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    off = max(points, key=lambda p: abs(p["score"] - p["value"]))
    desc = f"Calibration, {category}: {len(points)} bins of equal mass with exact intervals; on the dashed line a score means what it says. "
    desc += f"Expected calibration error {number(ece.get('value'), 'ece')}. "
    desc += f"Furthest off: posts scored {off['score']:.2f} on average are labelled yes in {100 * off['value']:.0f} % of cases."
    return Plot(_svg(figure, f"Reliability of the score for {category}", desc), desc)


def plot_curve(category: str, points: list[list[float]], figures: Mapping[str, Any], share_yes: float | None) -> Plot:
    figure, axes = _figure()
    x, y = zip(*points, strict=True)
    axes.step(x, y, where="post", color=ACCENT, linewidth=1.8)
    if share_yes is not None:
        axes.axhline(share_yes, color=SOFT, linewidth=1, linestyle=(0, (4, 3)))
    r, p = figures["recall"].get("value"), figures["precision"].get("value")
    if r is not None and p is not None:
        axes.plot([r], [p], "D", color=SECOND, markersize=6)
    axes.set(xlabel="recall", ylabel="precision", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    at = f"; the diamond is the threshold in use: precision {number(p, 'precision')}, recall {number(r, 'recall')}" if r is not None and p is not None else ""
    desc = f"Precision and recall, {category}: average precision {number(figures['average_precision'].get('value'), 'auc')}{at}. The dashed line is the share labelled yes."
    return Plot(_svg(figure, f"Precision and recall for {category}", desc), desc)


def plot_risk(category: str, points: list[list[float]], figures: Mapping[str, Any]) -> Plot:
    figure, axes = _figure()
    x, y = zip(*points, strict=True)
    axes.plot(x, y, color=ACCENT, linewidth=1.8)
    axes.set(xlabel="share of posts answered, surest first", ylabel="share of wrong answers", xlim=(0, 1.02), ylim=(0, max(0.05, 1.1 * max(y))))
    desc = f"Risk and coverage, {category}: if people read the posts that the score is least sure of, how often the rest is answered wrongly. "
    desc += f"With 80 % answered: {number(figures['error_at_80pc'].get('value'), 'error_at_80pc')}; with all: {100 * y[-1]:.1f} %."
    return Plot(_svg(figure, f"Risk and coverage for {category}", desc), desc)


def plot_scores(category: str, scores: Mapping[str, list[float]]) -> Plot:
    figure, axes = _figure()
    edges = scores["edges"]
    for name, color, hatch in (("no", SOFT, ""), ("yes", SECOND, "///")):
        total = sum(scores[name]) or 1
        values = [v / total for v in scores[name]]
        axes.stairs(values, edges, color=color, fill=True, alpha=0.35, hatch=hatch, label=f"labelled {name}")
        axes.stairs(values, edges, color=color, linewidth=1.2)
    axes.set(xlabel=f"score for {category}", ylabel="share of the class", xlim=(0, 1))
    axes.legend(frameon=False)
    high = {name: sum(scores[name][10:]) / (sum(scores[name]) or 1) for name in ("no", "yes")}
    desc = f"Distribution of scores, {category}: {100 * high['yes']:.0f} % of posts labelled yes and {100 * high['no']:.1f} % of posts labelled no score 0.5 or more."
    return Plot(_svg(figure, f"Distribution of scores for {category}", desc), desc)


def plot_forest(title: str, figures: list[tuple[str, Mapping[str, Any]]], label: str) -> Plot:
    """Values with intervals, one line a part."""
    known = sorted((f for f in figures if f[1].get("value") is not None), key=lambda f: f[1]["value"])
    figure, axes = _figure(4.8, 0.9 + 0.22 * len(known))
    for i, (_, f) in enumerate(known):
        if f.get("low") is not None:
            axes.plot([f["low"], f["high"]], [i, i], color=ACCENT, linewidth=1.6)
        axes.plot([f["value"]], [i], "o", color=ACCENT, markersize=4.5)
    axes.set_yticks(range(len(known)), [name for name, _ in known])
    axes.set(xlabel=label, ylim=(-0.7, len(known) - 0.3))
    axes.grid(axis="y", visible=False)
    desc = f"{title}: from {known[0][0]} ({known[0][1]['value']:.3f}) to {known[-1][0]} ({known[-1][1]['value']:.3f}); lines are 95 % intervals."
    return Plot(_svg(figure, title, desc), desc)


def plot_lines(title: str, lines: Mapping[str, list[tuple[float, float | None]]], xlabel: str, ylabel: str, *, worst_is_high: bool) -> Plot:
    figure, axes = _figure(4.8, 4.4)
    for (name, points), color, marker in zip(lines.items(), LINES, MARKERS, strict=False):
        axes.plot([x for x, _ in points], [float("nan") if y is None else y for _, y in points], color=color, marker=marker, markersize=4, linewidth=1.5, label=name)
    axes.set(xlabel=xlabel, ylabel=ylabel, ylim=(-0.02, 1.02))
    axes.legend(frameon=False, fontsize=8, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.16))
    ends = [(name, points[-1][1]) for name, points in lines.items() if points and points[-1][1] is not None]
    desc = f"{title}."
    if ends:
        name, value = (max if worst_is_high else min)(ends, key=lambda e: e[1] or 0.0)
        desc += f" At the greatest strength the {'highest' if worst_is_high else 'lowest'}: {name}, {100 * (value or 0):.0f} %."
    return Plot(_svg(figure, title, desc), desc)
