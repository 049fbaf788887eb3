"""Near copies of one message, found by MinHash and locality-sensitive hashing, so that a campaign is one decision.

The signatures and the cut into bands are datasketch's; the index itself lies in the database, since several processes share it. Only texts of at
least `MIN_CHARS` characters are compared: "me too" in a hundred threads is no campaign. Near copies may mean the opposite of each other ("should"
and "should not"), so every wording is shown to the reviewer, and a new wording never joins an item that somebody is reading or has read.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
from datasketch import MinHash, MinHashLSH  # type: ignore[import-untyped]

MIN_CHARS = 24
SHINGLE = 5
PERMUTATIONS = 64
#: A longer text is compared by its beginning: enough to know a copy, and the work is bounded.
MAX_CHARS = 2000


@lru_cache(maxsize=1)
def _blank() -> MinHash:
    return MinHash(num_perm=PERMUTATIONS, seed=1)


@lru_cache(maxsize=8)
def _ranges(similarity: float) -> tuple[tuple[int, int], ...]:
    return tuple(MinHashLSH(threshold=similarity, num_perm=PERMUTATIONS).hashranges)


def sign(match_view: str) -> np.ndarray | None:
    """The signature of a text, or None when it is too short to tell a copy from a coincidence."""
    text = match_view[:MAX_CHARS]
    if len(text) < MIN_CHARS:
        return None
    blank = _blank()
    signature = MinHash(num_perm=PERMUTATIONS, seed=1, permutations=blank.permutations, scheme=blank.scheme)
    signature.update_batch([text[i : i + SHINGLE].encode("utf-8", "surrogatepass") for i in range(len(text) - SHINGLE + 1)])
    return np.asarray(signature.hashvalues, dtype=np.uint32)  # (PERMUTATIONS,)


def bands_of(signature: np.ndarray, similarity: float) -> list[int]:
    """Keys, as signed 64-bit integers: two texts of at least this similarity share one with high probability."""
    return [
        int.from_bytes(hashlib.blake2b(bytes([i]) + signature[start:end].tobytes(), digest_size=8).digest(), "big", signed=True)
        for i, (start, end) in enumerate(_ranges(similarity))
    ]


def likeness(a: np.ndarray, b: np.ndarray) -> float:
    """The estimated Jaccard similarity of two signatures, in [0, 1]."""
    return float(np.mean(a == b))
