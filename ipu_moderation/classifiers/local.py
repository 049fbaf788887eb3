"""Heads for one language, fitted on labels of its own: weights over the pooled vector of the encoder and over word and letter n-grams.

    logit = base * (base logit) + weights . pooled + ngrams . counts + bias          for each category

`training.adapt` makes them. Other languages keep the heads of the base, so that nothing is forgotten.
"""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from ipu_moderation.errors import ModelError

BUCKETS = 1 << 18
_LONGEST = 2_000
"""Characters of a text that n-grams are taken from."""
_ARRAYS = ("base", "weights", "bias", "idf", "ngrams")


def ngram_counts(text: str) -> tuple[dict[int, float], dict[int, float]]:
    """How often each bucket of words and pairs of words, and of 2 to 5 letters within words, occurs: 1 + log of the count.

    Args:
        text: a match view.
    """
    words = text[:_LONGEST].split()
    tokens = [w.encode("utf-8", "replace") for w in words]
    whole: Counter[int] = Counter(crc32(b"w" + t) % BUCKETS for t in tokens)
    whole.update(crc32(b"w" + a + b" " + b) % BUCKETS for a, b in pairwise(tokens))
    letters: Counter[int] = Counter()
    for word in words:
        padded = f" {word} "
        for n in range(2, 6):
            for i in range(len(padded) - n + 1):
                letters[crc32(padded[i : i + n].encode("utf-8", "replace")) % BUCKETS] += 1
    return {k: 1 + math.log(v) for k, v in whole.items()}, {k: 1 + math.log(v) for k, v in letters.items()}


def ngram_vector(text: str, idf: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Buckets and values of a text; words and letters of length 1 each.

    Args:
        text: a match view.
        idf: (BUCKETS,) weights; 0 for what no training text held.
    """
    indices: list[np.ndarray] = []
    values: list[np.ndarray] = []
    for counts in ngram_counts(text):
        if counts:
            at = np.fromiter(counts.keys(), np.int64, len(counts))
            x = np.fromiter(counts.values(), np.float32, len(counts)) * idf[at]
            norm = float(np.sqrt((x * x).sum()))
            if norm:
                indices.append(at)
                values.append(x / norm)
    if not indices:
        return np.zeros(0, np.int64), np.zeros(0, np.float32)
    return np.concatenate(indices), np.concatenate(values)


class LocalHeads:
    """The heads of one language."""

    def __init__(self, path: Path, heads: int) -> None:
        """Read a file that `training.adapt` wrote.

        Raises:
            ModelError: when it is damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as data:
                arrays: dict[str, Any] = {name: data[name].astype(np.float32) for name in _ARRAYS}
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(f"{path} is damaged: {type(error).__name__}. Copy the directory anew.") from error
        self.base, self.weights, self.bias, self.idf, self.ngrams = (arrays[name] for name in _ARRAYS)
        shapes = self.base.shape, self.bias.shape, self.weights.shape[:1], self.ngrams.shape, self.idf.shape
        if shapes != ((heads,), (heads,), (heads,), (heads, BUCKETS), (BUCKETS,)):
            raise ModelError(f"{path} has heads of another shape than this package. Adapt the model anew with: python -m training.adapt")

    def logits(self, base: np.ndarray, pooled: np.ndarray, texts: list[str]) -> np.ndarray:
        """(n, heads) logits.

        Args:
            base: (n, heads) logits of the base.
            pooled: (n, width) pooled vectors.
            texts: n match views.
        """
        out = base * self.base + pooled @ self.weights.T + self.bias
        for i, text in enumerate(texts):
            at, x = ngram_vector(text, self.idf)
            if len(at):
                out[i] += self.ngrams[:, at] @ x
        return np.asarray(out, np.float32)
