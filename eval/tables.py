"""The generated tables of README.md, MODEL_CARD.md and docs: rebuilt from eval/results, the model's manifest and the rule packs.

    python -m eval.tables             # rewrite what stands between `<!-- table:NAME -->` and `<!-- /table -->`
    python -m eval.tables --check     # exit code 1 when a table is not what the results say, or the results are of another model

A table whose results are not here is passed over, and said to be. Figures of two runs stand in one table only when the runs agree on model, thresholds
and form of results.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from eval.data import file_hash
from eval.drawing import SHORT, number
from eval.metrics import share
from eval.models import weights_of
from eval.packs import measured_files
from eval.run import FORMAT, run_command
from eval.suites import SUITES, suite_files
from ipu_moderation.errors import InputError
from ipu_moderation.resources import model_directory, rule_packs
from ipu_moderation.taxonomy import SCORED
from training.data import sources as data_sets

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results"
MARKED = re.compile(r"(<!-- table:([\w-]+) -->\n)(.*?)(<!-- /table -->)", re.DOTALL)
COMMAND = "python -m eval.tables"
CHEAP = {"assess": "", "eval.run": " (a classifier that costs nothing)"}


class Missing(Exception):
    """What a table is made from is not here."""


class Inputs:
    """Results and other sources of tables, read when first asked for."""

    def __init__(self, results: Path = RESULTS, model: Path | None = None) -> None:
        self.results, self.model = results, model or model_directory()

    def run(self, name: str) -> dict[str, Any]:
        """The results of one run.

        Raises:
            Missing: when they are not here.
            InputError: when they are of another form.
        """
        found = self.json(name)
        if found.get("format") != FORMAT:
            raise InputError(f"{self.results / name}.json has format {found.get('format')}, this code reads {FORMAT}. Measure anew with: make eval")
        return found

    def json(self, name: str) -> dict[str, Any]:
        """A file of eval/results.

        Raises:
            Missing: when it is not here.
        """
        return self._read(self.results / f"{name}.json")

    def manifest(self) -> dict[str, Any]:
        """The record of the model in the package.

        Raises:
            Missing: when there is none.
        """
        return self._read(self.model / "manifest.json")

    def _read(self, path: Path) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise Missing(str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)) from error
        except ValueError as error:
            raise InputError(f"{path}: not valid JSON") from error
        return found

    def foreign(self, name: str) -> str | None:
        """Why results are not those of the model in the package, or of the suites as they are; None when they are, or when there is nothing to compare."""
        try:
            found, here = self.json(name), weights_of(self.manifest())
        except Missing:
            return None
        if name == "packs":
            return None if found["sha256"] == file_hash(measured_files()) else "packs.json was measured on other packs or posts. Measure anew with: python -m eval.packs"
        cohort = found["cohort"]
        models = [cohort["model"]] if "model" in cohort else [m["run"] for m in found["models"].values() if m["spec"] == "default"]
        weights = {m["versions"].get("weights") for m in models} - {None}
        if weights - {here}:
            return f"{name}.json measured a model with weights {', '.join(sorted(weights))}, the package holds {here}. Measure anew with: make eval"
        if cohort["mapping"].get("form") == "suites" and cohort["data"]["sha256"] != file_hash(suite_files(SUITES)):
            return f"{name}.json was measured on other suites than those in eval/suites. Measure anew with: make eval"
        return None


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """A table; the first column to the left, the others to the right."""
    lines = [f"| {' | '.join(head)} |", "|" + "|".join(["---", *["--:"] * (len(head) - 1)]) + "|"]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows])


def shown(figure: Mapping[str, Any] | None, name: str) -> str:
    """A value with its interval; `-` when unknown."""
    if figure is not None and figure.get("value") is None and figure.get("low") is not None:
        return f"≥ {number(figure['low'], name)}"
    if figure is None or figure.get("value") is None:
        return "-"
    value = number(figure["value"], name)
    if figure.get("low") is None:
        return value
    low, high = (number(figure[k], name).removesuffix(" %") for k in ("low", "high"))
    return f"{value} ({low}–{high}){'†' if str(figure.get('note', '')).startswith('few') else ''}"


def under(results: Mapping[str, Any], *more: str) -> str:
    """What was measured with what, for below a table."""
    cohort = results["cohort"]
    parts = [f"{cohort['data']['usable']:,} posts"]
    if "model" in cohort:
        parts.append(cohort["model"]["model"])
    parts += [f"thresholds {cohort['threshold_policy']}", "95 % intervals", cohort["date"], *more]
    return "\n\n" + "; ".join(parts) + "."


# --- tables ----------------------------------------------------------------------------------------------------------------------------------------


def _languages(inputs: Inputs) -> str:
    measured = inputs.manifest()["measured"]
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    packs = {p.stem: yaml.load(p.read_text(encoding="utf-8"), Loader=loader) for p in rule_packs()}
    rows = []
    for code in sorted(set(measured) | {p.get("language", stem) for stem, p in packs.items()}):
        pack = next((p for stem, p in packs.items() if p.get("language", stem) == code), None)
        heads = [c.value for c in SCORED if c.value in measured.get(code, ())]
        rows.append([code, ", ".join(heads) or "-", f"{len(pack.get('rules', []))} rules" if pack else "-", str(pack.get("reviewed_by", "none")) if pack else "-"])
    return markdown(["language", "measured", "rule pack", "reviewed by"], rows)


def _development(inputs: Inputs) -> str:
    """A line a category over all languages."""
    r = inputs.run("development")
    columns = ("auc", "macro_f1", "recall_at_fpr_5pc", "precision_at_1pc", "ece")
    rows = []
    for category, f in r["overall"].items():
        mean = r["mean_over_languages"][category]
        languages = f"{number(mean['auc']['value'], 'auc')} ({mean['auc']['n']})" if mean["auc"]["n"] else "-"
        rows.append([category.replace("_", " "), f"{f['prevalence']['n']:,}", *(shown(f[c], c) for c in columns), languages])
    return markdown(["category", "posts", *(SHORT[c] for c in columns), "mean AUROC (languages)"], rows) + under(r)


def _quality(inputs: Inputs) -> str:
    """A line a language."""
    r = inputs.run("development")
    columns = (("hate", "auc"), ("hate", "macro_f1"), ("hate", "recall_at_fpr_5pc"), ("hate", "ece"), ("abuse", "auc"), ("abuse", "macro_f1"), ("violence", "auc"))
    rows = []
    for code in sorted(r["language"]):
        f = r["language"][code]
        cells = [shown(f[c][k], k) if c in f else "-" for c, k in columns]
        if set(cells) != {"-"}:
            rows.append([code, f"{max(x['prevalence']['n'] for x in f.values()):,}", *cells])
    head = ["language", "posts", *(f"{c}: {SHORT[k]}" for c, k in columns)]
    return markdown(head, rows) + under(r, "† fewer than 10 posts of a class; - where the data does not say, or has one class only")


def _functional(inputs: Inputs) -> str:
    r = inputs.run("functional")
    rows = [[name, f["hate"]["expected"], f"{f['hate']['n']:,}", shown(f["hate"], "recall")] for name, f in r["functionality"].items() if "hate" in f]
    columns = ("macro_f1", "auc", "recall", "fpr")
    by_source = [[name, f"{f['hate']['prevalence']['n']:,}", *(shown(f["hate"][c], c) for c in columns)] for name, f in r["source"].items()]
    first = markdown(["suite", "cases", "macro-F1", "AUROC", "recall", "false-positive rate"], by_source)
    return first + "\n\n" + markdown(["functionality", "hateful", "cases", "answered as expected"], rows) + under(r)


def _suites(inputs: Inputs) -> str:
    r = inputs.run("suites")
    rows = []
    for code in [*sorted(r["language"]), "all"]:
        f = r["overall"] if code == "all" else r["language"][code]
        rows.append([code, f"{f['hate']['prevalence']['n']:,}", *(shown(f["hate"][k], k) for k in ("macro_f1", "auc", "recall", "fpr"))])
    return markdown(["language", "posts", "macro-F1, hate", "AUROC", "recall", "false-positive rate"], rows) + under(r, "intervals by whole templates")


def _protected(inputs: Inputs) -> str:
    r = inputs.run("suites")
    rows = [[name.replace("_", " "), f"{f['over_flagged']['n']:,}", *(shown(f[k], "recall") for k in ("over_flagged", "sent", "held"))] for name, f in r["protected"].items()]
    return markdown(["protected expression", "posts", "over-flagged", "sent to a reviewer", "held"], rows) + under(r, f"policy {r['cohort']['policy']}")


WORST = 8


def _errors(inputs: Inputs) -> str:
    """What the suites answer worst."""
    r = inputs.run("suites")
    known = [(f["hate"]["value"], name, f["hate"]) for name, f in r["functionality"].items() if f.get("hate", {}).get("value") is not None]
    rows = [[name, f["expected"], f"{f['n']:,}", shown(f, "recall")] for _, name, f in sorted(known, key=lambda k: k[:2])[:WORST]]
    flagged = r["protected"].get("all kinds")
    said = f"\n\nOf protected expression (journalism, satire, counter-speech, ...), {shown(flagged['over_flagged'], 'recall')} is over-flagged." if flagged else ""
    return f"The {len(rows)} functional tests with the worst answers:\n\n" + markdown(["test", "hateful", "posts", "answered as expected"], rows) + said + under(r)


def _groups(inputs: Inputs) -> str:
    r = inputs.run("suites")
    columns = ("recall", "fpr", "subgroup_auc", "bpsn_auc", "bnsp_auc")
    rows = [[name, f"{f['n']:,}", *(shown(f[c], c) for c in columns)] for name, f in sorted(r["groups"]["by_group"].items())]
    rows.append(["power mean (p = -5)", "", "", "", *(shown(r["groups"]["power_mean"][c], c) for c in columns[2:])])
    return markdown(["group", "posts", *(SHORT[c] for c in columns)], rows) + under(r)


def _peers(inputs: Inputs) -> str:
    r = inputs.run("peers")
    category, columns = r["differences"][0]["category"], ("macro_f1", "auc", "recall_at_fpr_5pc", "precision_at_1pc")
    rows = []
    for name, m in r["models"].items():
        speed = [("-" if m["run"][k] is None else f"{m['run'][k]:,.0f}") for k in ("posts_per_second", "peak_mb")]
        rows.append([name, *(shown(m["overall"][category][c], c) for c in columns), *speed])
    cores = next(iter(r["models"].values()))["run"]["cores"]
    return markdown([f"model ({category})", *(SHORT[c] for c in columns), "posts a second", "peak MB"], rows) + under(r, f"{cores} cores")


def _stress(inputs: Inputs) -> str:
    r = inputs.run("stress")
    strengths = [p["strength"] for p in next(iter(r["disguise"].values()))["points"]]
    rows = [[name, *(shown(p["recall"], "recall") for p in f["points"])] for name, f in r["disguise"].items()]
    rows_of = r["cohort"]["rows"]
    said = f"\n\nRecall for {r['cohort']['category']} on {rows_of['yes']} posts labelled yes; thresholds {r['cohort']['threshold_policy']}; {r['cohort']['date']}."
    return markdown(["disguise", *(f"{100 * s:.0f} % of letters" for s in strengths)], rows) + said


def _symmetry(inputs: Inputs) -> str:
    r = inputs.run("stress")
    rows = [
        [axis, code, str(f["spread"]["n"]), shown(f["spread"], "spread"), shown(f["same_answer"], "recall")]
        for axis, languages in r["symmetry"].items()
        for code, f in languages.items()
    ]
    return markdown(["swapped", "language", "sentences", "mean spread of the score", "same answer for all"], rows)


def _speed(inputs: Inputs) -> str:
    b = inputs.json("benchmark")
    rows = [
        ["full pipeline, in batches", f"{b['posts_per_s']:,.0f} posts a second"],
        ["fp32 encoder of XLM-R-base's size in torch, same texts", f"{b['large_encoder_posts_per_s']:,.1f} posts a second"],
        ["ratio", f"{b['ratio']:.1f}"],
        ["one post at a time, median and 95th percentile", f"{b['latency_ms_median']:.1f} ms, {b['latency_ms_p95']:.1f} ms"],
        ["from start to first decision", f"{b['cold_start_s']:.2f} s"],
        ["`import ipu_moderation`", f"{b['import_s']:.2f} s"],
        ["peak memory of a batch process", f"{b['peak_rss_mb']:,.0f} MB"],
        ["model files", f"{b['model_mb']:.1f} MB"],
        *([f"peak memory of `{m['command']}` over {m['rows']:,} short posts{CHEAP[m['command']]}", f"{m['peak_rss_mb']:,.0f} MB"] for m in b.get("memory", ())),
    ]
    return markdown(["", ""], rows) + f"\n\n{b['texts']:,} texts, {b['tokens_mean']:.0f} tokens on average; {b['machine']}. Rebuild with `make benchmark`."


def _training(inputs: Inputs) -> str:
    m = inputs.manifest()
    rows = [
        ["version", f"{m['name']} {m['version']}, {m['created']}"],
        ["posts", f"{m['rows']:,} of {len(m['sources'])} data sets (SHA-256 {m['data_sha256'][:16]})"],
        ["contrast sentences", f"{m['contrast']:,}"],
        ["vocabulary", f"{m['vocabulary']:,} pieces"],
        ["starts from", ", ".join(f"{p['name']} ({p['licence']})" for p in m["pretrained"])],
        ["seed", str(m["seed"])],
    ]
    for head in (c.value for c in SCORED):
        found = [q[head] for q in m["quality"].values() if head in q]
        if found:
            mean = sum(q["auc"] for q in found) / len(found)
            rows.append([f"{head}, mean over {len(found)} languages", f"AUROC {mean:.3f}, calibration error {sum(q['ece'] for q in found) / len(found):.3f}"])
    return markdown(["", ""], rows)


def _sources(inputs: Inputs) -> str:
    cards = data_sets()
    rows = []
    for source in inputs.manifest()["sources"]:
        card = cards.get(source["slug"], {})
        posts = f"{card['rows']:,}" if card.get("rows") else "-"
        rows.append([card.get("name", source["slug"]).replace("|", "/"), ", ".join(card.get("languages", ())) or "-", posts, source["licence"]])
    return markdown(["data set", "languages", "rows", "licence"], rows)


def _rules(inputs: Inputs) -> str:
    """A line a language: rules alone on posts that nobody who wrote them has seen."""
    r = inputs.json("packs")

    def part(hits: int, n: int) -> str:
        return shown(share(np.repeat([True, False], [hits, n - hits])).to_dict(), "recall") if n else "-"

    def cells(lists: Mapping[str, Mapping[str, Mapping[str, int]]]) -> list[str]:
        c = [lists[name]["held"] for name in ("incitement", "defamation")]
        return [cell for x in c for cell in (part(x["tp"], x["tp"] + x["fn"]), part(x["tp"], x["tp"] + x["fp"]))]

    packs = [code for code in r["development"] if code in r["versions"]]
    benign = (r.get("benign") or {}).get("languages", {})
    rows = [[code, *cells(r["development"][code]), part(benign[code]["raised"], benign[code]["n"]) if code in benign else "-"] for code in packs]
    pooled = {
        name: {"held": {k: sum(r["development"][code][name]["held"][k] for code in packs) for k in ("tp", "fn", "fp", "tn")}} for name in ("incitement", "defamation")
    }
    total = (r.get("benign") or {}).get("total")
    rows.append(["all", *cells(pooled), part(total["raised"], total["n"]) if total else "-"])
    head = ["language", "incitement: recall", "precision", "defamation risk: recall", "precision", "harmless posts raised"]
    n = sum(sum(pooled[name]["held"].values()) for name in pooled)
    return markdown(head, rows) + f"\n\n{n:,} held-out posts, about half of them harmless look-alikes; {total['n'] if total else 0:,} harmless public posts; 95 % intervals."


Builder = Callable[[Inputs], str]
#: Name -> (how it is made, the results that must be of the model in the package).
TABLES: dict[str, tuple[Builder, str | None]] = {
    "development": (_development, "development"),
    "errors": (_errors, "suites"),
    "functional": (_functional, "functional"),
    "groups": (_groups, "suites"),
    "languages": (_languages, None),
    "peers": (_peers, "peers"),
    "protected": (_protected, "suites"),
    "quality": (_quality, "development"),
    "rules": (_rules, "packs"),
    "sources": (_sources, None),
    "speed": (_speed, None),
    "stress": (_stress, "stress"),
    "suites": (_suites, "suites"),
    "symmetry": (_symmetry, "stress"),
    "training": (_training, None),
}


def rebuild(text: str, where: str, inputs: Inputs) -> tuple[str, list[str], list[str]]:
    """A document with its tables as the results say, why some are passed over, and what is foreign.

    Raises:
        InputError: when a table has a name that nothing makes, or a mark is not closed.
    """
    skipped: list[str] = []
    foreign: list[str] = []
    if text.count("<!-- table:") != len(MARKED.findall(text)):
        raise InputError(f"{where}: a mark <!-- table:NAME --> stands alone on its line and is closed by <!-- /table -->; one here is not")

    def one(match: re.Match[str]) -> str:
        name = match[2]
        if name not in TABLES:
            raise InputError(f"{where}: nothing makes a table '{name}'. Tables: {', '.join(TABLES)}")
        build, measured = TABLES[name]
        try:
            body = build(inputs)
        except Missing as error:
            skipped.append(f"{where}, table {name}: passed over, {error} is not here")
            return match[0]
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{where}, table {name}: its results lack {error}. Measure anew with: make eval") from error
        if measured and (why := inputs.foreign(measured)):
            foreign.append(f"{where}, table {name}: {why}")
        return f"{match[1]}{body}\n{match[4]}"

    return MARKED.sub(one, text), skipped, foreign


def documents(root: Path = ROOT) -> list[Path]:
    """Where tables may stand."""
    return [p for p in (root / "README.md", root / "MODEL_CARD.md", *sorted((root / "docs").glob("*.md"))) if p.is_file()]


def stale(root: Path = ROOT, inputs: Inputs | None = None, *, write: bool = False) -> tuple[list[str], list[str]]:
    """What is stale (or was, when written), and what was passed over."""
    faults: list[str] = []
    notes: list[str] = []
    for path in documents(root):
        text = path.read_text(encoding="utf-8")
        new, skipped, foreign = rebuild(text, path.name, inputs or Inputs())
        notes += skipped
        faults += foreign
        if new != text:
            names = [m[1] for m, n in zip(MARKED.findall(text), MARKED.findall(new), strict=True) if m != n]
            faults.append(f"{path.name}: {', '.join(names)}: {'rebuilt' if write else f'not what the results say. Rebuild with: {COMMAND}'}")
            if write:
                path.write_text(new, encoding="utf-8")
    return faults, notes


def main(arguments: list[str] | None = None) -> int:
    """The entry point."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit code 1 when a table is stale")
    args = parser.parse_args(arguments)

    def go() -> int:
        faults, notes = stale(write=not args.check)
        for line in [*notes, *faults]:
            print(line)
        return int(bool(args.check and faults))

    return run_command(go)


if __name__ == "__main__":
    sys.exit(main())
