"""What is measured on: a labelled file or suites, read as often as needed and surveyed before anything is scored."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from eval.suites import expand, suite_files
from ipu_moderation.errors import InputError
from training.labelled import MEASURED, Mapping, Post, kind_of, mapping_of, posts


@dataclass(frozen=True, slots=True)
class Survey:
    """What a first pass over the data saw, before anything is scored."""

    name: str
    sha256: str
    rows: int
    usable: int
    counts: dict[str, dict[str, int]]
    """Category -> {"yes", "no"}, categories with any label only."""
    unreadable: tuple[str, ...]
    """Why rows cannot be used: the first twenty."""
    duplicates: int
    """Rows whose id stood before."""
    duplicate_rows: tuple[int, ...]
    """The first ten of them."""
    languages: int
    """Rows with a given language."""

    def warnings(self) -> list[str]:
        """What a reader must know before reading any figure."""
        out = []
        if self.usable < self.rows:
            out.append(f"{self.rows - self.usable:,} of {self.rows:,} rows cannot be used and are not counted. The first: {'; '.join(self.unreadable[:3])}.")
        if self.duplicates:
            rows = ", ".join(map(str, self.duplicate_rows)) + (", ..." if self.duplicates > len(self.duplicate_rows) else "")
            out.append(f"{self.duplicates:,} rows repeat an id that stood before (rows {rows}); each row is counted, so intervals are too narrow.")
        for category, seen in self.counts.items():
            for answer, lost in (("yes", "recall, AUC and F1"), ("no", "false-positive rates, AUC and macro-F1")):
                if not seen[answer]:
                    out.append(f"{category}: no row is labelled {answer}, so {lost} are unknown (-).")
        return out

    def to_dict(self) -> dict[str, Any]:
        """What the results say of the data."""
        return {**asdict(self), "unreadable": list(self.unreadable), "duplicate_rows": list(self.duplicate_rows)}


def survey(name: str, sha256: str, rows: Iterable[Post]) -> Survey:
    """Read everything once: labels are checked, ids compared, classes counted.

    Raises:
        InputError: when a label is outside the mapping, or no row can be used.
    """
    total = usable = languages = 0
    counts = np.zeros((len(MEASURED), 2), dtype=np.int64)
    unreadable: list[str] = []
    ids = array("q")  # hashes, 8 bytes a row: an id may itself be personal
    for post in rows:
        total += 1
        ids.append(hash_of(post.id))
        if post.error:
            if len(unreadable) < 20:
                unreadable.append(post.error)
            continue
        usable += 1
        languages += post.language is not None
        for i, label in enumerate(post.labels):
            if label >= 0:
                counts[i, label] += 1
    if not usable:
        raise InputError(f"{name}: 0 rows can be used" + (f" of {total:,}. The first: {unreadable[0]}" if unreadable else "."))
    first = np.unique(np.frombuffer(ids, dtype=np.int64), return_index=True)[1]
    repeated = np.setdiff1d(np.arange(total), first) + 1
    seen = {c: {"yes": int(counts[i, 1]), "no": int(counts[i, 0])} for i, c in enumerate(MEASURED) if counts[i].any()}
    return Survey(name, sha256, total, usable, seen, tuple(unreadable), len(repeated), tuple(repeated[:10].tolist()), languages)


def hash_of(text: str) -> int:
    """64 bits that stand for a string."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big") >> 1


def file_hash(paths: Iterable[Path]) -> str:
    """SHA-256 over files, in order."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


# --- one name for files and suites ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Data:
    """Labelled data that can be read again and again: a file with its mapping, or suites."""

    name: str
    sha256: str
    mapping: dict[str, Any]
    path: Path
    columns: Mapping | None
    """None for suites."""
    fills: int = 12

    def __iter__(self) -> Iterator[Post]:
        if self.columns is not None:
            return posts(self.path, self.columns)
        return expand(self.path, self.fills)

    def survey(self) -> Survey:
        """A first pass over all rows.

        Raises:
            InputError: as `survey`.
        """
        return survey(self.name, self.sha256, self)

    def texts(self, numbers: Iterable[int]) -> dict[int, str]:
        """The texts of some rows, by row number: for a reader who asked to see them."""
        wanted = set(numbers)
        return {post.number: post.text for post in self if post.number in wanted and post.text is not None}

    def with_language(self, code: str | None) -> Data:
        """The same with one language for the whole file."""
        return self if code is None or self.columns is None else replace(self, columns=replace(self.columns, language_is=code))


def open_data(path: Path, *, given: Path | None = None, flags: dict[str, Any] | None = None, fills: int = 12) -> Data:
    """Labelled data: a file, a suite (.yaml), or a directory of suites.

    Raises:
        InputError: when it cannot be read or mapped.
    """
    if path.is_dir() or path.suffix in (".yaml", ".yml"):
        files = suite_files(path)
        return Data(path.resolve().name, file_hash(files), {"form": "suites", "languages": [f.stem for f in files], "fills": fills}, path, None, fills)
    kind_of(path)
    mapping = mapping_of(path, given=given, flags=flags)
    return Data(path.name, file_hash([path]), mapping.to_dict(), path, mapping)


