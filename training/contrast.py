"""Contrast data: sentence frames x terms -> labelled sentences that teach composition. `templates/README.md` says how the files are written.

python -m training.contrast check            # every language file, and that no surface cue carries the label
python -m training.contrast show de --kind report
"""

from __future__ import annotations

import argparse
import hashlib
import random
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from ipu_moderation.taxonomy import TargetGroup

TEMPLATES = Path(__file__).parent / "templates"
KINDS: dict[str, dict] = yaml.safe_load((TEMPLATES / "kinds.yaml").read_text(encoding="utf-8"))
LABELS = ("hate", "abuse", "violence")
DEV_SHARE = 0.12
"""Share of the frames, by hash, that no training sees."""
_PLACE = re.compile(r"\{(\w+)\}")
_GROUPS = [g.value for g in TargetGroup]


@dataclass(frozen=True, slots=True)
class Frame:
    """One sentence frame of one language."""

    language: str
    kind: str
    text: str
    only: tuple[str, ...]
    labels: tuple[float, float, float, float]
    """hate, abuse, violence, incitement; NaN where the kind does not say."""

    @property
    def split(self) -> int:
        """0 train, 1 dev that calibrates, 2 dev that reports."""
        h = int.from_bytes(hashlib.blake2b(self.text.encode(), digest_size=4).digest(), "big")
        return 1 + (h >> 16 & 1) if h % 100 < DEV_SHARE * 100 else 0


@dataclass(frozen=True, slots=True)
class Example:
    """A filled frame."""

    text: str
    language: str
    kind: str
    target: str | None
    """Who is attacked; None when nobody with a protected characteristic is."""
    term: str | None
    labels: tuple[float, float, float, float]
    split: int


def languages() -> list[str]:
    """The languages that have a file, by code."""
    return sorted(p.stem for p in TEMPLATES.glob("*.yaml") if p.stem != "kinds")


def _labels(kind: dict, override: dict) -> tuple[float, float, float, float]:
    hate, abuse, violence = (np.nan if (v := override.get(n, kind[n])) is None else float(v) for n in LABELS)
    return hate, abuse, violence, 0.0 if hate == 0 or violence == 0 else min(hate, violence)


#: Contempt for a political camp is ordinary politics and may or may not be hate; to dehumanise, threaten, exclude or incite against it is.
_CLEAR_OF_POLITICS = frozenset({"dehumanisation", "threat", "incitement", "wish", "exclusion", "mirror"})


def _for_target(frame: Frame, target: str | None) -> tuple[float, float, float, float]:
    """A calling is no protected characteristic: an attack on journalists is abuse and maybe violence, not hate."""
    hate, abuse, violence, incitement = frame.labels
    if target == "profession":
        return 0.0, abuse, violence, 0.0
    if target == "political" and frame.kind not in _CLEAR_OF_POLITICS:
        return np.nan, abuse, violence, incitement
    return hate, abuse, violence, incitement


class Language:
    """One language file, read and checked.

    Raises:
        ValueError: with all faults of the file.
    """

    def __init__(self, code: str) -> None:
        path = TEMPLATES / f"{code}.yaml"
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        self.code, self.slots, self.terms = code, data.get("slots") or {}, data["terms"]
        self.frames: list[Frame] = []
        faults: list[str] = []
        seen: dict[str, str] = {}
        for pool in ("groups", "slurs", "reclaimed"):
            faults += [f"terms.{pool}: unknown target in {t}" for t in self.terms[pool] if t.get("target") not in _GROUPS]
        for kind in KINDS:
            if not data["frames"].get(kind):
                faults.append(f"frames.{kind}: no frame")
        for kind, frames in data["frames"].items():
            if kind not in KINDS:
                faults.append(f"frames.{kind}: unknown kind; kinds.yaml has {', '.join(KINDS)}")
                continue
            for entry in frames:
                override = {} if isinstance(entry, str) else entry
                text = entry if isinstance(entry, str) else entry["text"]
                frame = Frame(code, kind, text, tuple(override.get("only") or ()), _labels(KINDS[kind], override))
                if text in seen:
                    faults.append(f"frames.{kind}: stands in {seen[text]} too: {text}")
                seen[text] = kind
                if self.forms(frame) and not self.pool(frame):
                    faults.append(f"frames.{kind}: no term has all of {sorted(self.forms(frame))}: {text}")
                self.frames.append(frame)
        if faults:
            raise ValueError(f"{path}: {len(faults)} faults\n" + "\n".join(f"{i:3d}. {f}" for i, f in enumerate(faults, 1)))

    def forms(self, frame: Frame) -> set[str]:
        """The term forms that a frame asks for."""
        return set(_PLACE.findall(frame.text)) - set(self.slots)

    def pool(self, frame: Frame) -> list[dict]:
        """The terms that fit a frame."""
        terms = self.terms.get(KINDS[frame.kind]["terms"], [])
        forms = self.forms(frame)
        return [t for t in terms if forms <= set(t) and (not frame.only or t.get("target") in frame.only)]

    def fill(self, frame: Frame, term: dict | None, rng: random.Random) -> Example:
        """One sentence of a frame, with this term."""

        def word(match: re.Match[str]) -> str:
            name = match[1]
            value = rng.choice(self.slots[name]) if name in self.slots else (term or {})[name]
            before = frame.text[: match.start()].rstrip(" \"“”„«»'‘’¿¡(-–—")
            return value[:1].upper() + value[1:] if not before or (before[-1] in ".!?…:" and frame.text[0].isupper()) else value

        text = _PLACE.sub(word, frame.text)
        target = term.get("target") if term and frame.labels[0] == 1.0 else None
        name = next(v for k, v in term.items() if k not in ("target", "note")) if term else None
        return Example(text, self.code, frame.kind, target, name, _for_target(frame, target), frame.split)

    def examples(self, each: int, seed: int) -> Iterator[Example]:
        """`each` sentences a frame. Targets come up equally often on both sides of the label, terms equally often within a target."""
        rng = random.Random(f"{seed}/{self.code}")
        decks: dict[str, list[dict]] = {}
        for frame in self.frames:
            terms = self.pool(frame) if self.forms(frame) else []
            out: set[str] = set()
            for _ in range(each):
                term = None
                if terms:
                    target = rng.choice(sorted({t.get("target", "") for t in terms}))
                    deck = decks.setdefault(f"{KINDS[frame.kind]['hate']}/{KINDS[frame.kind]['terms']}/{target}", [])
                    fitting = [t for t in deck if t in terms]
                    if not fitting:
                        fresh = [t for t in terms if t.get("target", "") == target]
                        rng.shuffle(fresh)
                        deck += fresh
                        fitting = fresh
                    term = fitting[0]
                    deck.remove(term)
                example = self.fill(frame, term, rng)
                if example.text not in out:
                    out.add(example.text)
                    yield example


def expand(each: int = 12, seed: int = 7) -> list[Example]:
    """All languages, `each` sentences a frame at most."""
    return [e for code in languages() for e in Language(code).examples(each, seed)]


_CUES = {
    "quotes": r"[\"“”«»„「」『』‘]", "question": r"[?？؟]", "exclamation": r"[!！]", "digits": r"\d", "emoji": "[\U0001f300-\U0001faff]", "comma": r"[,،，、]",
    "colon": r"[:：]", "sentences": r"[.!?。！？؟۔।…](?=\s*\S)", "capitals": r"[A-ZА-Я]{2,}", "stop": r"[.。۔।]$", "dash": r"[-–—]",
}  # fmt: skip


def surface(text: str) -> list[float]:
    """What a reader who knows no word would see: punctuation, casing, digits, length."""
    return [float(len(re.findall(p, text))) for p in _CUES.values()] + [len(text) / 50, len(text.split()) / 10, float(text[:1].islower())]


def cue_auc(examples: list[Example]) -> float:
    """Cross-validated AUC of a classifier on surface cues alone, frames kept whole: near 0.5 when no cue carries the label."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    examples = [e for e in examples if not np.isnan(e.labels[0])]
    x = np.array([surface(e.text) for e in examples])
    y = np.array([e.labels[0] for e in examples])
    model = HistGradientBoostingClassifier(max_depth=3, max_iter=60, random_state=0)
    return float(roc_auc_score(y, cross_val_predict(model, x, y, cv=StratifiedKFold(5, shuffle=True, random_state=0), method="predict_proba")[:, 1]))


def check() -> int:
    """Print a line a language; 1 when a file has faults or a cue carries the label."""
    faults = 0
    for code in languages():
        try:
            language = Language(code)
        except (ValueError, KeyError, yaml.YAMLError) as error:
            print(error)
            faults += 1
            continue
        one = list(language.examples(1, seed=7))
        auc = cue_auc(one)
        hate = sum(f.labels[0] for f in language.frames)
        terms = {k: len(v) for k, v in language.terms.items()}
        print(f"{code:8s} {len(language.frames):4d} frames, {hate:4.0f} hateful, terms {terms}, surface cues alone: AUC {auc:.2f}{'  TOO HIGH' if auc > MAX_CUE_AUC else ''}")
        faults += auc > MAX_CUE_AUC
    return int(faults > 0)


MAX_CUE_AUC = 0.65
"""A language's frames are refused above this. About 220 frames: an AUC of 0.5 has a standard error of 0.04."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["check", "show"])
    parser.add_argument("language", nargs="?")
    parser.add_argument("--kind")
    args = parser.parse_args()
    if args.step == "check":
        return check()
    for e in Language(args.language).examples(2, seed=7):
        if args.kind in (None, e.kind):
            print(f"{e.kind:18s} {e.labels}  {e.text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
