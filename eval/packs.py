"""Rule packs on posts written for it by people who had not seen the patterns (`eval/rules`), and on harmless public posts.

    python -m eval.packs [--benign .work/table.parquet] [--save eval/results/packs.json]

A post counts as found when a raising finding that no excuse covers is of the categories of its list: incitement (incitement, violence, mobilisation,
dehumanisation, hate), or defamation risk. The language is given, as a caller who knows it would. With --benign, 20,000 rows whose labels are all 0
show how often anything fires where nothing should.

The authors of a pack may read half of the posts (`--look xx`) to learn what it misses; figures are given for that half and for the held-out half apart,
and only the second says how a pack does on posts that its author has not seen.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections import Counter
from pathlib import Path

import yaml

from eval.data import file_hash
from ipu_moderation.normalise import normalise
from ipu_moderation.resources import rule_packs
from ipu_moderation.rules import RuleSet, load_packs
from ipu_moderation.taxonomy import Category
from ipu_moderation.types import Language

HERE = Path(__file__).parent
COUNTS = {
    "incitement": {Category.INCITEMENT, Category.VIOLENCE, Category.MOBILISATION, Category.DEHUMANISATION, Category.HATE},
    "defamation": {Category.DEFAMATION_RISK},
}


def measured_files() -> list[Path]:
    """What the figures depend on beside the code: the packs and the development posts."""
    return [*rule_packs(), *sorted((HERE / "rules").glob("*.yaml"))]


def raised(rules: RuleSet, text: str, language: str) -> list[tuple[str, Category]]:
    """Rules that raise and are not excused."""
    return [(f.rule, f.category) for f in rules.find(normalise(text), Language(language, 1.0)) if f.effect == "raise" and f.excused_by is None]


def half(text: str) -> str:
    """`look` or `held`, by hash."""
    return "held" if hashlib.blake2b(text.encode(), digest_size=1).digest()[0] & 1 else "look"


def development(rules: RuleSet, directory: Path = HERE / "rules") -> dict[str, dict[str, dict[str, dict[str, int]]]]:
    """Language -> list -> half -> true and false positives and negatives."""
    out: dict[str, dict[str, dict[str, dict[str, int]]]] = {}
    for path in sorted(directory.glob("*.yaml")):
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        for name, categories in COUNTS.items():
            counts = {h: {"tp": 0, "fn": 0, "fp": 0, "tn": 0} for h in ("look", "held")}
            for side, cells in (("positive", ("tp", "fn")), ("negative", ("fp", "tn"))):
                for text in data[name][side]:
                    hit = any(c in categories for _, c in raised(rules, text, data["language"]))
                    counts[half(text)][cells[not hit]] += 1
            out.setdefault(data["language"], {})[name] = counts
    return out


def look(rules: RuleSet, language: str, directory: Path = HERE / "rules") -> None:
    """Print the half of a language's posts that authors may read, with what raises on each."""
    data = yaml.safe_load((directory / f"{language}.yaml").read_text(encoding="utf-8"))
    for name, categories in COUNTS.items():
        for side in ("positive", "negative"):
            for text in data[name][side]:
                if half(text) == "look":
                    found = [rule for rule, c in raised(rules, text, language) if c in categories]
                    wrong = bool(found) != (side == "positive")
                    print(f"{'MISSED ' if wrong and not found else 'WRONG  ' if wrong else 'right  '}{name} {side}: {text}" + (f"   <- {', '.join(found)}" if found else ""))


def benign(rules: RuleSet, table: Path, n: int = 20_000, least: int = 200) -> dict[str, object]:
    """How often rows with hate, abuse and violence all 0 (or not said, hate and abuse 0) raise anything, by language; the language is as labelled."""
    import numpy as np
    import pyarrow.parquet as pq

    rows = pq.read_table(table, columns=["text", "lang", "hate", "abuse", "violence"]).to_pandas()
    rows = rows[(rows.hate == 0) & (rows.abuse == 0) & ~(rows.violence > 0)]
    packs = set(rules.versions)
    rows = rows[rows.lang.isin(packs)]
    share = -(-n // max(1, rows.lang.nunique()))
    rows = rows.sample(frac=1, random_state=5).groupby("lang").head(share)
    by_language: dict[str, dict[str, float]] = {}
    fires: Counter[str] = Counter()
    for language, group in rows.groupby("lang"):
        hits = [raised(rules, text, language) for text in group.text]
        fires.update(rule for hit in hits for rule in {r for r, _ in hit})
        by_language[str(language)] = {"n": len(group), "raised": int(np.sum([bool(h) for h in hits]))}
    total = {"n": sum(int(v["n"]) for v in by_language.values()), "raised": sum(int(v["raised"]) for v in by_language.values())}
    return {"total": total, "languages": by_language, "rules": dict(fires.most_common(40)), "least": least}


def main() -> None:
    """Measure, print, save."""
    parser = argparse.ArgumentParser(prog="python -m eval.packs", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--benign", type=Path, default=Path(".work/table.parquet"), help="the clean table of training.data (passed over when it is not here)")
    parser.add_argument("--save", type=Path, default=HERE / "results/packs.json")
    parser.add_argument("--look", metavar="LANGUAGE", help="print the posts of the half that authors of packs may read, and what each raises; measure nothing")
    args = parser.parse_args()
    rules = load_packs()
    if args.look:
        look(rules, args.look)
        return
    result: dict[str, object] = {"sha256": file_hash(measured_files()), "versions": dict(rules.versions), "development": development(rules)}
    for language, lists in result["development"].items():  # type: ignore[attr-defined]
        for name, halves in lists.items():
            shown = "   ".join(f"{h}: recall {c['tp']:2d}/{c['tp'] + c['fn']:2d}, wrongly raised {c['fp']:2d}/{c['fp'] + c['tn']:2d}" for h, c in halves.items())
            print(f"{language:8s} {name:11s} {shown}")
    if args.benign.exists():
        result["benign"] = benign(rules, args.benign)
        for language, c in result["benign"]["languages"].items():  # type: ignore[index]
            print(f"{language:8s} harmless posts {c['n']:6,}, raised {c['raised']:4d} ({c['raised'] / c['n']:.2%})")
        print(*(f"{n:5d} {rule}" for rule, n in list(result["benign"]["rules"].items())[:12]), sep="\n")  # type: ignore[index]
    elif args.save.exists():
        result["benign"] = json.loads(args.save.read_text()).get("benign")
    args.save.parent.mkdir(parents=True, exist_ok=True)
    args.save.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
