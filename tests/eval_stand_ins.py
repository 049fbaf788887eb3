"""Models for the tests of the evaluation: scores that follow from the text alone."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import numpy as np


def _noise(text: str) -> float:
    return zlib.crc32(text.encode("utf-8", "surrogatepass")) / 2**32


def score(texts: list[str]) -> np.ndarray:
    """High for driving out, a little high for cyclists whatever is said of them."""
    return np.array([0.15 + 0.55 * ("driven out" in t.lower()) + 0.1 * ("cyclists" in t.lower()) + 0.2 * _noise(t) for t in texts])


def worse(texts: list[str]) -> np.ndarray:
    """As `score`, with much more chance in it."""
    return np.array([0.5 * a + 0.5 * _noise("x" + t) for a, t in zip(score(texts), texts, strict=True)])


def by_category(texts: list[str], languages: list[str]) -> list[dict[str, float]]:
    """Scores for two categories; sees languages."""
    if len(texts) != len(languages):
        raise AssertionError("one language for each text")
    return [{"hate": float(s), "abuse": min(1.0, float(s) + 0.1)} for s in score(texts)]


def wrong_shape(texts: list[str]) -> np.ndarray:
    """Gives too little."""
    return np.zeros(len(texts) - 1)


def logits(texts: list[str]) -> np.ndarray:
    """Gives no probabilities."""
    return np.full(len(texts), 3.0)


def interrupted(texts: list[str]) -> np.ndarray:
    """Counts its calls in a file, and is interrupted once."""
    log = Path(os.environ["EVAL_CALLS"])
    calls = log.read_text().splitlines() if log.exists() else []
    log.write_text("\n".join([*calls, str(len(texts))]))
    if len(calls) == 1:
        raise KeyboardInterrupt
    return score(texts)


not_callable = 3
