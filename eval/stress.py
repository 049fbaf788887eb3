"""How far a classifier holds when posts are disguised, padded, mixed, cut, or speak of somebody else.

    python -m eval.stress posts.csv --model default
    python -m eval.stress --suites --save eval/results/stress.json

Curves: recall on posts labelled yes and the false-positive rate on posts labelled no, against the strength of a change. Symmetry: sentences of
`eval/probes.yaml` that differ only in the party, gender or faith named. All changes are written here and made by a fixed seed; the spellings that
training uses are others.
"""

from __future__ import annotations

import argparse
import random
import sys
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from eval.data import Data, hash_of
from eval.metrics import FEW, Figure, interval, seeded, share
from eval.models import SPECS, Scorer, load
from eval.run import FORMAT, WORK, Thresholds, add_data_flags, cohort_of, data_from, run_command, slug, thresholds_of, write_json
from eval.scoring import cores, peak_mb, progress
from eval.suites import SUITES
from ipu_moderation.errors import InputError
from ipu_moderation.policy import load_policy
from training.labelled import MEASURED, Post

Change = Callable[[str, float, random.Random, str], str]
"""(text, strength, chance, language) -> text."""
PROBES = Path(__file__).parent / "probes.yaml"
ROWS = 200
"""Posts of each label that are changed, chosen by hash."""

@lru_cache(maxsize=1)
def probes() -> dict[str, Any]:
    """Fillers, emoji and symmetrical sentences."""
    data: dict[str, Any] = yaml.safe_load(PROBES.read_text(encoding="utf-8"))
    return data


# --- disguises: strength is the share of letters that are changed --------------------------------------------------------------------------------

# Letters that look alike in Latin, Cyrillic and Greek. Source: Unicode confusables.txt (UTS 39), a part.
_ALIKE = dict(zip("aceiopsxyABCEHIKMOPTXYаеорсхАВЕНОРСТХ", "асеіорѕхуΑΒϹΕΗΙΚΜΟΡΤΧΥaeopcxABEHOPCTX", strict=True))
_FIGURES = {"a": "4", "e": "3", "i": "1", "o": "0", "s": "5", "t": "7", "b": "8", "z": "2", "а": "4", "о": "0", "з": "3"}


@dataclass(frozen=True, slots=True)
class Disguise:
    """A way to write a letter otherwise."""

    change: Callable[[str, random.Random], str]
    fits: Callable[[str], bool] = str.isalpha
    """The letters that it can be done to."""

    def apply(self, text: str, strength: float, chance: random.Random, _: str) -> str:
        """The text with each fitting letter changed with this probability."""
        return "".join(self.change(c, chance) if self.fits(c) and chance.random() < strength else c for c in text)

    def reach(self, text: str) -> float:
        """The share of letters that it can be done to."""
        letters = [c for c in text if c.isalpha()]
        return sum(map(self.fits, letters)) / len(letters) if letters else 0.0


class Swap(Disguise):
    """Neighbouring letters change places."""

    def apply(self, text: str, strength: float, chance: random.Random, _: str) -> str:
        """The text with this share of its letters in other places."""
        letters, i = list(text), 0
        while i + 1 < len(letters):
            if letters[i].isalpha() and letters[i + 1].isalpha() and chance.random() < strength / 2:  # a swap moves two
                letters[i], letters[i + 1] = letters[i + 1], letters[i]
                i += 1
            i += 1
        return "".join(letters)


DISGUISES: dict[str, Disguise] = {
    "look-alike letters": Disguise(lambda c, r: _ALIKE[c], _ALIKE.__contains__),
    "figures for letters": Disguise(lambda c, r: _FIGURES[c.lower()], lambda c: c.lower() in _FIGURES),
    "letters swapped": Swap(lambda c, r: c),
    "letters left out": Disguise(lambda c, r: ""),
    "letters repeated": Disguise(lambda c, r: c * 3),
    "asterisks": Disguise(lambda c, r: "*"),
    "invisible characters": Disguise(lambda c, r: c + r.choice("\u200b\u2060\u00ad")),
    "dots between letters": Disguise(lambda c, r: c + "."),
    "accents": Disguise(lambda c, r: unicodedata.normalize("NFC", c + r.choice("\u0301\u0308\u0323"))),
    "full-width letters": Disguise(lambda c, r: chr(ord(c) + 0xFEE0), lambda c: c.isascii() and c.isalpha()),
}
SHARES = (0.0, 0.05, 0.1, 0.2, 0.4)

# --- surroundings ----------------------------------------------------------------------------------------------------------------------------------


def _filler(language: str, n: int, chance: random.Random) -> list[str]:
    known = probes()["filler"]
    lines = known.get(language) or known.get(language.split("-")[0]) or known["en"]
    start = chance.randrange(len(lines))
    return list(islice(cycle(lines), start, start + n))


def _pad(text: str, strength: float, chance: random.Random, language: str, *, before: bool) -> str:
    around = _filler(language, round(strength), chance)
    return " ".join([*around, text] if before else [text, *around])


def _mix(text: str, strength: float, chance: random.Random, language: str) -> str:
    others = sorted(code for code in probes()["filler"] if code != language.split("-")[0])
    for i in range(round(strength)):
        line = _filler(chance.choice(others), 1, chance)[0]
        text = f"{text} {line}" if i % 2 else f"{line} {text}"
    return text


def _emoji(text: str, strength: float, chance: random.Random, _: str) -> str:
    words = text.split(" ")
    for _i in range(round(strength)):
        words.insert(chance.randint(0, len(words)), chance.choice(probes()["emoji"]))
    return " ".join(words)


def _cut(text: str, strength: float, _: random.Random, _language: str) -> str:
    words = text.split()
    if len(words) < 2:  # scripts without spaces
        return text[: max(1, round(len(text) * (1 - strength)))]
    return " ".join(words[: max(1, round(len(words) * (1 - strength)))])


SURROUNDINGS: dict[str, tuple[Change, tuple[float, ...], str]] = {
    "neutral text before": (lambda t, p, r, c: _pad(t, p, r, c, before=True), (0, 1, 4, 16, 64), "sentences"),
    "neutral text after": (lambda t, p, r, c: _pad(t, p, r, c, before=False), (0, 1, 4, 16, 64), "sentences"),
    "other languages around": (_mix, (0, 1, 2, 4), "sentences"),
    "neutral emoji": (_emoji, (0, 1, 3, 10), "emoji"),
    "cut off": (_cut, (0, 0.25, 0.5, 0.75), "share of the text left out"),
}


def selection(data: Data, category: str, rows: int) -> list[Post]:
    """At most `rows` posts of each label, the same ones every time.

    Raises:
        InputError: when no row is labelled yes or none is labelled no.
    """
    at = MEASURED.index(category)
    out: list[Post] = []
    for label in (1, 0):
        best: list[tuple[int, int, Post]] = []
        for post in data:
            if post.error is None and post.labels[at] == label:
                best.append((hash_of(f"{post.id}\0{post.number}"), post.number, post))
                if len(best) > 4 * rows:
                    best = sorted(best, key=lambda b: b[:2])[:rows]
        out += [post for _, _, post in sorted(best, key=lambda b: b[:2])[:rows]]
    labels = {post.labels[at] for post in out}
    if labels != {0, 1}:
        raise InputError(f"{data.name}: a stress test needs posts labelled yes and posts labelled no in {category}; labelled here: {labels or 'none'}")
    return out


class Bench:
    """A model, thresholds and posts: changes are tried on it."""

    def __init__(self, scorer: Scorer, cuts: Thresholds, posts: list[Post], category: str, seed: int, resamples: int) -> None:
        self.scorer, self.cuts, self.posts, self.category, self.seed, self.resamples = scorer, cuts, posts, category, seed, resamples
        self.y = np.array([post.labels[MEASURED.index(category)] == 1 for post in posts])

    def scores(self, texts: list[str], languages: list[str | None]) -> tuple[np.ndarray, np.ndarray]:
        """(n,) scores and answers."""
        outcome = self.scorer.score(texts, languages)
        s = outcome.scores[:, MEASURED.index(self.category)]
        cuts = [np.inf if (cut := self.cuts.value(code, self.category)) is None else cut for code in outcome.languages]
        with np.errstate(invalid="ignore"):
            return s, s >= np.array(cuts)

    def curve(self, name: str, change: Change, strengths: tuple[float, ...], step: Callable[[int], None], unit: str) -> dict[str, Any]:
        """Recall and false-positive rate at each strength."""
        points = []
        for strength in strengths:
            texts = [change(p.text or "", strength, random.Random(f"{self.seed}/{name}/{strength}/{p.number}"), p.language or "en") for p in self.posts]
            s, yes = self.scores(texts, [p.language for p in self.posts])
            known = np.isfinite(s)
            rates = {"recall": share(yes[self.y & known]).to_dict(), "fpr": share(yes[~self.y & known]).to_dict()}
            points.append({"strength": strength, "mean_score": _mean(s[self.y & known]), **rates})
            step(len(texts))
        return {"unit": unit, "points": points}

    def symmetry(self, step: Callable[[int], None]) -> dict[str, Any]:
        """By axis and language: how far the score moves when only the name changes, how often the answer does, and who scores higher."""
        out: dict[str, Any] = {}
        for probe in probes()["symmetry"]:
            terms, frames = list(probe["terms"]), probe["frames"]
            texts = [_capital(frame.replace("{}", probe["terms"][term])) for frame in frames for term in terms]
            s, yes = self.scores(texts, [probe["language"]] * len(texts))
            step(len(texts))
            if not np.isfinite(s).all():
                continue
            s, yes = s.reshape(len(frames), len(terms)), yes.reshape(len(frames), len(terms))
            spread = s.max(1) - s.min(1)  # (n_frames,)
            rng = seeded(self.seed, "symmetry", probe["axis"], probe["language"])
            picks = rng.integers(0, len(frames), size=(self.resamples, len(frames)))
            means = s - s.mean(1, keepdims=True)
            by_term = {t: Figure(float(means[:, j].mean()), *interval(means[picks, j].mean(1)), len(frames), "bootstrap", _few(frames)).to_dict() for j, t in enumerate(terms)}
            found = {
                "spread": Figure(float(spread.mean()), *interval(spread[picks].mean(1)), len(frames), "bootstrap", _few(frames)).to_dict(),
                "same_answer": share((yes == yes[:, :1]).all(1)).to_dict(),
                "by_term": by_term,
            }
            out.setdefault(probe["axis"], {})[probe["language"]] = found
        return out


def _few(frames: list[str]) -> str | None:
    return "few sentences" if len(frames) < FEW else None


def _mean(values: np.ndarray) -> float | None:
    return round(float(values.mean()), 5) if len(values) else None


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def stress(data: Data, spec: str, *, policy: str, cuts: Thresholds, category: str | None, rows: int, seed: int, resamples: int) -> dict[str, Any]:
    """All curves and symmetries of one model.

    Raises:
        ModerationError: when data or model cannot be used.
    """
    seen, rules = data.survey(), load_policy(policy)
    category = category or next((c for c in MEASURED if min(seen.counts.get(c, {"yes": 0}).values()) > 0), "hate")
    posts = selection(data, category, rows)
    scorer = load(spec, rules)
    bench = Bench(scorer, cuts, posts, category, seed, resamples)
    total = len(posts) * (len(DISGUISES) * len(SHARES) + sum(len(strengths) for _, strengths, _ in SURROUNDINGS.values()))
    with progress(scorer.name, total) as step:
        disguise = {name: bench.curve(name, way.apply, SHARES, step, "share of letters") for name, way in DISGUISES.items()}
        for name, way in DISGUISES.items():
            disguise[name]["reach"] = _mean(np.array([way.reach(post.text or "") for post in posts]))
        around = {name: bench.curve(name, change, strengths, step, unit) for name, (change, strengths, unit) in SURROUNDINGS.items()}
        symmetry = bench.symmetry(lambda n: None)
    model = {"model": scorer.name, "versions": dict(scorer.versions), "one_score": scorer.one_score, "posts": len(posts), "peak_mb": peak_mb(), "cores": cores()}
    rows_by_label = {"yes": int(bench.y.sum()), "no": int((~bench.y).sum())}
    warnings = [w for w in seen.warnings() if not w.startswith(tuple(c for c in MEASURED if c != category))]
    return {
        "format": FORMAT,
        "kind": "stress",
        "cohort": {**cohort_of(data, seen, cuts, rules, seed, resamples), "model": model, "category": category, "rows": rows_by_label},
        "warnings": warnings,
        "disguise": disguise,
        "surroundings": around,
        "symmetry": symmetry,
    }


def parser_of() -> argparse.ArgumentParser:
    """The flags."""
    parser = argparse.ArgumentParser(prog="python -m eval.stress", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", metavar="DATA", help="labelled .csv, .tsv, .jsonl or .parquet, a suite (.yaml), or a directory of suites")
    parser.add_argument("--suites", action="store_true", help="the functional tests in eval/suites")
    parser.add_argument("--model", default="default", help=SPECS + " (default: %(default)s)")
    parser.add_argument("--category", choices=MEASURED, help="default: the first that has both labels")
    parser.add_argument("--rows", type=int, default=ROWS, help="posts of each label at most (default: %(default)s)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: .work/eval/DATA-MODEL-stress")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write results.json here too")
    add_data_flags(parser)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """The entry point."""
    parser = parser_of()
    args = parser.parse_args(arguments)
    if args.data is None and not args.suites:
        parser.error("name a labelled file, or --suites")

    def go() -> int:
        from eval.report import render, stress_summary

        path = SUITES if args.suites else args.data
        data = data_from(args, path)
        cuts = thresholds_of(args.threshold, load_policy(args.policy), data.sha256, args.threshold_from)
        results = stress(data, args.model, policy=args.policy, cuts=cuts, category=args.category, rows=args.rows, seed=args.seed, resamples=args.resamples)
        out = args.out or WORK / f"{slug(path.stem)}-{slug(args.model)}-stress"
        write_json(results, out / "results.json")
        if args.save:
            write_json(results, args.save)
        (out / "report.html").write_text(render(results), encoding="utf-8")
        stress_summary(results)
        print(f"{out / 'report.html'}\n{out / 'results.json'}")
        return 0

    return run_command(go)


if __name__ == "__main__":
    sys.exit(main())
