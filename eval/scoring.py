"""Posts -> scores on disk, in parts: no text is kept, memory does not grow, and an interrupted run goes on where it stopped.

A part is a Parquet file of `PART` rows under `OUT/scores/<key>/`; the key stands for the data, its mapping, the model with its versions, and this
format, so that scores of other data or another model are never taken for these.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from eval.data import Data, hash_of
from eval.models import Outcome, Scorer, load
from ipu_moderation.errors import InputError, ModerationError
from ipu_moderation.policy import load_policy
from training.labelled import FACETS, MEASURED, Post

FORMAT = 1
PART = 4096
BATCH = 256
_LABEL = [f"label_{c}" for c in MEASURED]
_SCORE = [f"score_{c}" for c in MEASURED]
_SCHEMA = pa.schema(
    [
        ("number", pa.int64()),
        ("language", pa.string()),
        *((c, pa.int8()) for c in _LABEL),
        *((c, pa.float32()) for c in _SCORE),
        ("action", pa.int8()),
        ("truncated", pa.bool_()),
        ("groups", pa.list_(pa.string())),
        *((f, pa.string()) for f in FACETS),
        ("cluster", pa.int64()),
    ]
)


@dataclass(frozen=True, slots=True)
class Run:
    """How scoring went."""

    model: str
    versions: dict[str, str]
    one_score: bool
    posts: int
    posts_per_second: float | None
    """In the model and the rules, reading files left out, over all sittings; None when no time was measured."""
    load_seconds: float
    """Until the first score: weights read, or a baseline fitted."""
    peak_mb: float | None
    """The most memory that the process held; None where the system does not say."""
    faults: int
    """Texts at which the classifier failed."""

    def to_dict(self) -> dict[str, Any]:
        """What the results say of it."""
        return {
            "model": self.model, "versions": self.versions, "one_score": self.one_score, "posts": self.posts, "posts_per_second": _round(self.posts_per_second),
            "load_seconds": round(self.load_seconds, 2), "peak_mb": _round(self.peak_mb), "faults": self.faults, "cores": cores(),
        }  # fmt: skip


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Frame:
    """Scores and labels of all rows, as arrays: some sixty bytes a row, and no text."""

    def __init__(self, files: list[Path]) -> None:
        parts = _Columns()
        for file in files:  # part by part, so that strings of all rows are never held at once
            parts.add(pq.read_table(file))
        self.number = parts.array("number")  # (n_rows,)
        self.labels = {c: parts.array(f"label_{c}") for c in MEASURED}  # each (n_rows,), -1 unknown
        self.scores = {c: parts.array(f"score_{c}") for c in MEASURED}  # each (n_rows,), NaN unknown
        self.action, self.truncated, self.cluster = parts.array("action"), parts.array("truncated"), parts.array("cluster")
        self.has_clusters = bool((self.cluster >= 0).any())
        self._coded = {name: (parts.array(name), parts.names[name]) for name in ("language", *FACETS)}
        self._group_rows, self._group_codes, self._group_names = parts.array("group rows"), parts.array("groups"), parts.names["groups"]

    def __len__(self) -> int:
        return len(self.number)

    def names(self, division: str) -> list[str]:
        """The parts of a division (language, groups, or one of FACETS), commonest first."""
        codes, names = (self._group_codes, self._group_names) if division == "groups" else self._coded[division]
        counts = np.bincount(codes[codes >= 0], minlength=len(names))
        return [names[i] for i in np.argsort(-counts, kind="stable") if counts[i]]

    def rows(self, division: str, name: str) -> np.ndarray:
        """Indices of the rows of one part of a division."""
        if division == "groups":
            return np.unique(self._group_rows[self._group_codes == self._group_names.index(name)])
        codes, names = self._coded[division]
        return np.flatnonzero(codes == names.index(name))

    def values(self, division: str) -> tuple[np.ndarray, list[str]]:
        """(n_rows,) codes, -1 for none, and what they stand for."""
        return self._coded[division]


class _Columns:
    """Columns of parts, put together; strings become codes."""

    def __init__(self) -> None:
        self.chunks: dict[str, list[np.ndarray]] = {}
        self.names: dict[str, list[str]] = {name: [] for name in ("language", *FACETS, "groups")}
        self.rows = 0

    def add(self, table: pa.Table) -> None:
        for name in ("number", *_LABEL, *_SCORE, "action", "truncated", "cluster"):
            self._append(name, table[name].to_numpy())
        for name in ("language", *FACETS):
            self._append(name, self._codes(name, table[name].combine_chunks()))
        groups = table["groups"].combine_chunks()
        sizes = np.diff(groups.offsets.to_numpy())
        self._append("group rows", (self.rows + np.repeat(np.arange(len(table)), sizes)).astype(np.int32))
        self._append("groups", self._codes("groups", groups.flatten()))
        self.rows += len(table)

    def _codes(self, name: str, column: Any) -> np.ndarray:
        """(n,) int32, -1 for null; new names are added to those that are known."""
        coded = column.dictionary_encode()
        known, mine = self.names[name], coded.dictionary.to_pylist()
        known += [new for new in mine if new not in known]
        where = np.array([*map(known.index, mine), -1], dtype=np.int32)
        return where[coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)]

    def _append(self, name: str, values: np.ndarray) -> None:
        self.chunks.setdefault(name, []).append(values)

    def array(self, name: str) -> np.ndarray:
        return np.concatenate(self.chunks.pop(name))


def score(data: Data, spec: str, policy_name: str, out: Path, *, total: int, fresh: bool = False) -> tuple[list[Path], Run]:
    """Score all usable rows of the data, or take up what an earlier sitting has scored; the parts, for `Frame`.

    Args:
        data: what is read.
        spec: the model, as `eval.models.load` takes it.
        policy_name: for the actions of a moderator.
        out: directory of the results; parts go under `scores/`.
        total: usable rows, for the progress bar.
        fresh: throw away what earlier sittings scored.

    Raises:
        ModelError, PolicyError, InputError: when model, policy or data cannot be used.
    """
    start = time.perf_counter()
    scorer = load(spec, load_policy(policy_name))
    load_seconds = time.perf_counter() - start
    identity = json.dumps([FORMAT, PART, data.sha256, data.mapping, scorer.name, scorer.versions], sort_keys=True)
    place = out / "scores" / hashlib.sha256(identity.encode()).hexdigest()[:16]
    if fresh:
        shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True, exist_ok=True)
    state = _read_state(place)
    done = _whole_parts(place)
    skip = sum(pq.read_metadata(f).num_rows for f in done)
    if skip == total and state.get("posts"):
        return done, _run(scorer, state, load_seconds, total)
    usable = (post for post in data if post.error is None)
    with progress(f"{scorer.name}", total, skip) as step:
        posts = islice(usable, skip, None)
        while chunk := list(islice(posts, PART)):
            began = time.perf_counter()
            outcome = _score_part(scorer, chunk, step)
            state = {
                "posts": state.get("posts", 0) + len(chunk), "seconds": state.get("seconds", 0.0) + time.perf_counter() - began, "faults": state.get("faults", 0) + outcome.faults,
                "one_score": scorer.one_score, "peak_mb": max(state.get("peak_mb") or 0.0, peak_mb() or 0.0) or None,
            }  # fmt: skip
            file = place / f"part-{len(done):05d}.parquet"
            pq.write_table(_table(chunk, outcome), file.with_suffix(".tmp"), compression="zstd")
            os.replace(file.with_suffix(".tmp"), file)
            _write_state(place, state)
            done.append(file)
    return done, _run(scorer, state, load_seconds, total)


def score_apart(data: Data, spec: str, policy_name: str, out: Path, *, total: int, fresh: bool = False) -> tuple[list[Path], Run]:
    """As `score`, in a process of its own, so that its memory is its own.

    Raises:
        As `score`.
    """
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_apart, args=(theirs, data, spec, policy_name, out, total, fresh))
    process.start()
    theirs.close()
    try:
        answer = mine.recv()
    except EOFError as error:
        process.join()
        raise InputError(f"{spec}: the process that scored it ended with exit code {process.exitcode}") from error
    process.join()
    if isinstance(answer, Exception):
        raise answer
    files, run = answer
    return files, run


def _apart(pipe: Any, data: Data, spec: str, policy_name: str, out: Path, total: int, fresh: bool) -> None:
    try:
        pipe.send(score(data, spec, policy_name, out, total=total, fresh=fresh))
    except ModerationError as error:
        pipe.send(InputError(str(error)))  # plain, so that it can be sent whatever its constructor takes


def _score_part(scorer: Scorer, chunk: list[Post], step: Callable[[int], None]) -> Outcome:
    outcomes = []
    for start in range(0, len(chunk), BATCH):
        some = chunk[start : start + BATCH]
        outcomes.append(scorer.score([post.text or "" for post in some], [post.language for post in some]))
        step(len(some))
    return Outcome(
        np.concatenate([o.scores for o in outcomes]),
        np.concatenate([o.actions for o in outcomes]),
        [code for o in outcomes for code in o.languages],
        np.concatenate([o.truncated for o in outcomes]),
        sum(o.faults for o in outcomes),
    )


def _table(chunk: list[Post], outcome: Outcome) -> pa.Table:
    labels = np.array([post.labels for post in chunk], dtype=np.int8)
    columns: list[Any] = [[post.number for post in chunk], outcome.languages, *labels.T, *outcome.scores.T, outcome.actions, outcome.truncated]
    columns += [[list(post.groups) for post in chunk], *([post.facets[i] for post in chunk] for i in range(len(FACETS)))]
    columns += [[-1 if post.cluster is None else hash_of(post.cluster) for post in chunk]]
    return pa.table([pa.array(np.ascontiguousarray(c) if isinstance(c, np.ndarray) else c, f.type) for c, f in zip(columns, _SCHEMA, strict=True)], schema=_SCHEMA)


def _whole_parts(place: Path) -> list[Path]:
    """Parts without a gap; what lies beyond one is scored anew. Only the last of all may be short."""
    files: list[Path] = []
    while (file := place / f"part-{len(files):05d}.parquet").is_file():
        files.append(file)
    return files


def _read_state(place: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = json.loads((place / "state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return state


def _write_state(place: Path, state: dict[str, Any]) -> None:
    file = place / "state.tmp"
    file.write_text(json.dumps(state), encoding="utf-8")
    os.replace(file, place / "state.json")


def _run(scorer: Scorer, state: dict[str, Any], load_seconds: float, posts: int) -> Run:
    speed = state["posts"] / state["seconds"] if state["seconds"] else None
    return Run(scorer.name, dict(scorer.versions), state["one_score"], posts, speed, load_seconds, state["peak_mb"], state["faults"])


def peak_mb() -> float | None:
    """The most memory this process has held, in MB."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20) if sys.platform == "darwin" else peak / 1024


@contextmanager
def progress(name: str, total: int, done: int = 0) -> Iterator[Callable[[int], None]]:
    """A progress bar on a terminal; a line now and then elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if console.is_terminal:
        with Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("posts"), TimeRemainingColumn(), console=console, transient=True) as bar:
            task = bar.add_task(name, total=total, completed=done)
            yield lambda n: bar.advance(task, n)
        return
    seen, said = done, time.monotonic()

    def step(n: int) -> None:
        nonlocal seen, said
        seen += n
        if time.monotonic() - said > 15:
            said = time.monotonic()
            print(f"{name}: {seen:,} of {total:,} posts", file=sys.stderr, flush=True)

    yield step
