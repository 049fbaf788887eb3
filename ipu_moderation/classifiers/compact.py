"""The default classifier: a small multilingual encoder, ONNX, on the CPU.

A model directory holds `model.onnx`, `tokenizer.json` and `manifest.json`; the manifest names the versions, the data, the calibration, what was
measured, and the SHA-256 of the other files. A directory that is damaged, of another format or made with another normaliser is refused.

Long texts are read in windows of `max_tokens` tokens that overlap by `stride`, at most `max_windows` of them; the highest score counts, and what
lies beyond is marked `truncated`.

A directory that `training.adapt` made holds heads of its own for some languages beside (`adapted` in the manifest, see `local`). It may be of format 2: then
`pieces.json` holds pieces of words that stand behind the vocabulary of `tokenizer.json`, and `extended` in the manifest says how many of them are used in the
texts of a language. All other languages are tokenised as without them.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ipu_moderation.classifiers import Scores
from ipu_moderation.classifiers.local import LocalHeads
from ipu_moderation.classifiers.spelling import respelt
from ipu_moderation.errors import ModelError
from ipu_moderation.normalise import VERSION as NORMALISER
from ipu_moderation.resources import model_directory
from ipu_moderation.taxonomy import SCORED, TargetGroup
from ipu_moderation.types import Language, Text, without_region

FORMAT = 1
EXTENDED = 2
"""The format of a directory in which a language has pieces of its own: a reader that knows only format 1 would tokenise it wrongly."""
PIECES = "pieces.json"
BATCH = 8
"""Texts of like length at a time: as fast as 32 on two cores, with a fifth of the padding, and less memory."""
_CHARACTERS_A_WINDOW = 2_000  # what a window may take at most: longer texts are not tokenised to be thrown away

Mode = Literal["throughput", "latency"]

_loading = threading.Lock()
#: Sessions of the process that this one was forked from: their threads are gone, so that they are slow, and closing them would wait for those threads.
_inherited: list[Any] = []
if hasattr(os, "register_at_fork"):  # a child must not inherit a lock that nobody in it will release
    os.register_at_fork(before=_loading.acquire, after_in_parent=_loading.release, after_in_child=_loading.release)


class CompactClassifier:
    """Scores texts with a model directory. Checked when made, loaded on first use; thread-safe; loads anew after a fork; pickles by its path."""

    def __init__(self, directory: Path | str | None = None, *, threads: int | None = None) -> None:
        """Read and check the manifest and the SHA-256 of the files; weights are loaded on first use.

        Args:
            directory: a model directory; the one in the package when None.
            threads: for ONNX Runtime; as many as there are cores when None.

        Raises:
            ModelError: when the directory is missing, damaged, of another format or normaliser.
        """
        self.directory = Path(directory) if directory is not None else model_directory()
        self.threads = threads
        self.manifest = read_manifest(self.directory)
        check_files(self.directory, self.manifest)
        self.name = f"{self.manifest['name']}@{self.manifest['version']}"
        self._measured: dict[str, frozenset[str]] = {lang: frozenset(c) for lang, c in self.manifest["measured"].items()}
        self.languages = frozenset(self._measured)
        self._loaded: tuple[int, _Loaded] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (str(self.directory), self.threads)

    def measured(self, language: str, category: str) -> bool:
        """True when this category was measured in this language and passed the floor stated in the manifest; `pt-BR` counts as `pt`, `hi-Latn` not as `hi`."""
        found = self._measured.get(language)
        return category in (self._measured.get(without_region(language), ()) if found is None else found)

    def score(self, texts: Sequence[Text], languages: Sequence[Language]) -> Scores:
        """Calibrated scores, in order.

        Raises:
            ModelError: when the weights are damaged.
        """
        if not texts:
            return Scores(np.zeros((0, len(SCORED)), np.float32), np.zeros((0, len(TargetGroup)), np.float32), np.zeros(0, bool))
        sessions, tokenizer, local, extended = self._load()
        n_heads, n_groups = len(SCORED), len(TargetGroup)
        categories, targets = np.zeros((len(texts), n_heads), np.float32), np.zeros((len(texts), n_groups), np.float32)
        truncated = np.zeros(len(texts), bool)
        parts = {code: [i for i, x in enumerate(languages) if x.code == code] for code in extended}
        own = {i for rows in parts.values() for i in rows}
        parts["*"] = [i for i in range(len(texts)) if i not in own]
        windows: list[list[int]] = []
        owners = []
        for code, rows in parts.items():
            if rows:
                cut = np.zeros(len(rows), bool)
                some, part = self._windows(extended.get(code, tokenizer), [texts[i] for i in rows], cut)
                windows += some
                owners.append(np.array(rows)[part])
                truncated[rows] = cut
        owner = np.concatenate(owners)
        session = sessions["latency" if len(windows) <= 2 else "throughput"]
        adapted = {code: np.flatnonzero([languages[i].code == code for i in owner]) for code in local if any(x.code == code for x in languages)}
        logits, pooled = _run(session, windows, n_heads + n_groups, pooled=bool(adapted))
        for code, of_it in adapted.items():
            logits[of_it, :n_heads] = local[code].logits(logits[of_it, :n_heads], pooled[of_it], [texts[i].match_view for i in owner[of_it]])
        slope, shift = self._calibration([languages[i].code for i in owner])
        values = _sigmoid(logits[:, :n_heads] * slope + shift)
        np.maximum.at(categories, owner, values)
        for i in np.argsort(values[:, 0], kind="stable"):  # the window with the highest hate score tells who is attacked
            targets[owner[i]] = _sigmoid(logits[i, n_heads:])
        return Scores(categories, targets, truncated)

    def _windows(self, tokenizer: Any, texts: Sequence[Text], truncated: np.ndarray) -> tuple[list[list[int]], np.ndarray]:
        """Token ids of all windows of all texts, and which text each belongs to."""
        longest, stride, most = self.manifest["max_tokens"], self.manifest["stride"], self.manifest["max_windows"]
        characters = most * _CHARACTERS_A_WINDOW
        windows: list[list[int]] = []
        owner: list[int] = []
        for i, encoding in enumerate(tokenizer.encode_batch_fast(spelt(tokenizer, texts, characters))):
            ids = encoding.ids
            if len(ids) <= longest:
                windows.append(ids)
                owner.append(i)
            else:
                first, last, inner = ids[0], ids[-1], ids[1:-1]
                size = longest - 2
                starts = range(0, max(1, len(inner) - stride), size - stride)
                for start in starts[:most]:
                    windows.append([first, *inner[start : start + size], last])
                    owner.append(i)
                truncated[i] = len(starts) > most
            truncated[i] |= len(texts[i].model_view) > characters
        return windows, np.array(owner, dtype=np.intp)

    def _calibration(self, languages: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Slope and shift for each row and head: the language's own, those of the language without its region, its base language's, or the general ones."""
        table = self.manifest["calibration"]
        rows = np.array([table.get(code) or table.get(without_region(code)) or table.get(code.split("-")[0]) or table["*"] for code in languages], dtype=np.float32)
        return rows[:, :, 0], rows[:, :, 1]  # each (n_windows, n_heads)

    def features(self, texts: Sequence[Text], language: str = "und") -> tuple[np.ndarray, np.ndarray]:
        """Logits of the base's heads (n, heads), and pooled vectors (n, width), of the first window of each text: what heads of another language are fitted on.

        Args:
            texts: n texts.
            language: the pieces of this language are used, when it has any.

        Raises:
            ModelError: when the weights are damaged, or older than the pooled output.
        """
        sessions, plain, _, extended = self._load()
        tokenizer: Any = extended.get(language, plain)
        longest = self.manifest["max_tokens"]
        windows = [ids if len(ids) <= longest else [*ids[: longest - 1], ids[-1]] for ids in (e.ids for e in tokenizer.encode_batch_fast(spelt(tokenizer, texts)))]
        logits, pooled = _run(sessions["throughput"], windows, len(SCORED) + len(TargetGroup), pooled=True)
        return logits[:, : len(SCORED)], pooled

    def _load(self) -> _Loaded:
        loaded = self._loaded
        if loaded is not None and loaded[0] == os.getpid():
            return loaded[1]
        with _loading:
            if self._loaded is None or self._loaded[0] != os.getpid():
                if self._loaded is not None:
                    _inherited.append(self._loaded)
                self._loaded = os.getpid(), _open(self.directory, self.manifest, self.threads or cores())
            return self._loaded[1]


def read_manifest(directory: Path) -> dict[str, Any]:
    """The manifest of a model directory, checked for format and normaliser.

    Raises:
        ModelError: when it is missing, broken, of another format, or made with another normaliser.
    """
    path = directory / "manifest.json"
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{directory} is no model directory: it has no manifest.json that can be read. Make one with: python -m training.export") from error
    except ValueError as error:
        raise ModelError(f"{path} is damaged: it is not valid JSON. Copy the directory anew.") from error
    if not isinstance(manifest, dict) or manifest.get("format") not in (FORMAT, EXTENDED):
        found = manifest.get("format") if isinstance(manifest, dict) else None
        raise ModelError(f"{path} has format {found}; this version of the package reads formats {FORMAT} and {EXTENDED}. Export the model anew with: python -m training.export")
    missing = {"name", "version", "normaliser", "heads", "targets", "max_tokens", "stride", "max_windows", "calibration", "measured", "files"} - set(manifest)
    if missing:
        raise ModelError(f"{path} lacks {', '.join(sorted(missing))}. Export the model anew with: python -m training.export")
    if manifest["normaliser"] != NORMALISER:
        raise ModelError(f"{path} was made with normaliser {manifest['normaliser']}; this package has {NORMALISER}, and scores would be wrong. Train the model anew.")
    if manifest["heads"] != [c.value for c in SCORED] or manifest["targets"] != [g.value for g in TargetGroup]:
        raise ModelError(f"{path} has other categories or target groups than this package. Train the model anew.")
    wrong = [name for name, right in _shape(manifest).items() if not right]
    if wrong:
        raise ModelError(f"{path} is damaged: {', '.join(wrong)} cannot be used. Export the model anew with: python -m training.export")
    return manifest


def _shape(manifest: dict[str, Any]) -> dict[str, bool]:
    """For each part of a manifest that scoring relies on, whether it has the right shape."""

    def lines(rows: Any) -> bool:
        table = np.asarray(rows, np.float64)
        return table.shape == (len(SCORED), 2) and bool(np.isfinite(table).all())

    def holds(check: Callable[[], bool]) -> bool:
        try:
            return check()
        except (TypeError, ValueError, AttributeError):
            return False

    longest, stride, most = manifest["max_tokens"], manifest["stride"], manifest["max_windows"]
    heads = {c.value for c in SCORED}
    return {
        "max_tokens, stride or max_windows": holds(lambda: longest - 2 > stride >= 0 and most >= 1),
        "calibration": holds(lambda: "*" in manifest["calibration"] and all(lines(rows) for rows in manifest["calibration"].values())),
        "measured": holds(lambda: all(set(found) <= heads for found in manifest["measured"].values())),
        "files": holds(lambda: set(manifest["files"]) >= {"model.onnx", "tokenizer.json"}),
        "adapted": holds(lambda: set(manifest["files"]) >= set(manifest.get("adapted", {}).values())),
        "extended": holds(lambda: (manifest["format"] == EXTENDED) == bool(_extended(manifest)) and all(n > 0 for n in _extended(manifest).values())),
        PIECES: holds(lambda: not _extended(manifest) or PIECES in manifest["files"]),
    }


def _extended(manifest: dict[str, Any]) -> dict[str, int]:
    """Language -> how many of the added pieces its texts are tokenised with."""
    found: dict[str, int] = manifest.get("extended", {})
    return found


def check_files(directory: Path, manifest: dict[str, Any]) -> None:
    """Compare the files with their SHA-256 in the manifest.

    Raises:
        ModelError: when one is missing or differs.
    """
    for name, expected in manifest["files"].items():
        path = directory / name
        if not path.is_file():
            raise ModelError(f"{directory} lacks {name}. Copy the directory anew.")
        if hashlib.sha256(path.read_bytes()).hexdigest() != expected:
            raise ModelError(f"{path} is damaged: its SHA-256 is not the one in manifest.json. Copy the directory anew.")


def _restore(directory: str, threads: int | None) -> CompactClassifier:
    return CompactClassifier(directory, threads=threads)


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _run(session: Any, windows: Sequence[Sequence[int]], width: int, *, pooled: bool) -> tuple[np.ndarray, np.ndarray]:
    """(n_windows, width) logits, and (n_windows, hidden) pooled vectors when asked for."""
    logits = np.empty((len(windows), width), np.float32)
    vectors: np.ndarray | None = None
    order = np.argsort([len(w) for w in windows], kind="stable")
    if pooled and "pooled" not in {o.name for o in session.get_outputs()}:
        raise ModelError("this model has no pooled output, which heads of a language of their own need. Adapt a newer model.")
    outputs = ["categories", "targets", *(["pooled"] if pooled else [])]
    for start in range(0, len(windows), BATCH):
        some = order[start : start + BATCH]
        ids, mask = _pad([windows[i] for i in some])
        found = session.run(outputs, {"input_ids": ids, "attention_mask": mask})
        logits[some] = np.concatenate(found[:2], axis=1)
        if pooled:
            if vectors is None:
                vectors = np.empty((len(windows), found[2].shape[1]), np.float32)
            vectors[some] = found[2]
    return logits, np.zeros((len(windows), 0), np.float32) if vectors is None else vectors


class _Sessions:
    """ONNX sessions on one model, each opened when it is first asked for: a batch needs no memory for the other kind."""

    def __init__(self, directory: Path, threads: int) -> None:
        self.directory = directory
        self.threads = threads
        self._open: dict[Mode, Any] = {}

    def __getitem__(self, mode: Mode) -> Any:
        """The session for one text at a time (`latency`) or for batches.

        Raises:
            ModelError: when the weights are damaged.
        """
        if mode not in self._open:
            with _loading:
                if mode not in self._open:
                    self._open[mode] = self._new(mode)
        return self._open[mode]

    def _new(self, mode: Mode) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        # One text at a time: threads wait busily for the next operator. Batches: they sleep, and memory grows by what is needed.
        options.add_session_config_entry("session.intra_op.allow_spinning", "1" if mode == "latency" else "0")
        options.enable_cpu_mem_arena = mode == "latency"
        options.enable_mem_pattern = False  # lengths vary
        with _readable(self.directory):
            session = onnxruntime.InferenceSession(str(self.directory / "model.onnx"), options, providers=["CPUExecutionProvider"])
        _give_back()
        return session


#: Sessions, the tokenizer, heads of languages, and tokenizers of languages.
_Loaded = tuple[_Sessions, Any, dict[str, LocalHeads], dict[str, Any]]


def _give_back() -> None:
    """Give memory that is free back to the system where the C library can: opening a session takes twice what it keeps."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)


@contextmanager
def _readable(directory: Path) -> Iterator[None]:
    """Bare exceptions of the libraries as a ModelError."""
    try:
        yield
    except Exception as error:
        raise ModelError(f"{directory} cannot be loaded: {type(error).__name__}. Copy the directory anew.") from error


def _open(directory: Path, manifest: dict[str, Any], threads: int) -> _Loaded:
    from tokenizers import Tokenizer

    with _readable(directory):
        tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        extended = {code: extended_tokenizer(directory, n) for code, n in _extended(manifest).items()}
    return _Sessions(directory, threads), tokenizer, {code: LocalHeads(directory / name, len(SCORED)) for code, name in manifest.get("adapted", {}).items()}, extended


def extended_tokenizer(directory: Path, n: int) -> Any:
    """The tokenizer with the first n of the added pieces; the ids of the old ones stay as they are.

    Raises:
        ValueError: when there are fewer.
    """
    from tokenizers import Tokenizer

    whole = json.loads((directory / "tokenizer.json").read_text(encoding="utf-8"))
    added = json.loads((directory / PIECES).read_text(encoding="utf-8"))
    if len(added) < n:
        raise ValueError(f"{len(added)} pieces, not {n}")
    whole["model"]["vocab"] += added[:n]
    return Tokenizer.from_str(json.dumps(whole))


def spelt(tokenizer: Any, texts: Sequence[Text], most: int | None = None) -> list[str]:
    """What is tokenised: model views, or their beginnings, with doubtful spellings as the vocabulary knows them."""

    def cut(words: Sequence[str]) -> list[list[int]]:
        return [[end for _, end in e.offsets] for e in tokenizer.encode_batch(list(words), add_special_tokens=False)]

    return [respelt(t.raw, t.model_view[:most], cut) for t in texts]


def _pad(rows: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """(n_texts, n_tokens) ids and mask; 1 is the padding id."""
    ids = np.ones((len(rows), max(map(len, rows))), np.int64)
    mask = np.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = row
        mask[i, : len(row)] = 1
    return ids, mask


def _sigmoid(x: np.ndarray) -> np.ndarray:
    out: np.ndarray = 1 / (1 + np.exp(-np.clip(x, -30, 30)))
    return out
