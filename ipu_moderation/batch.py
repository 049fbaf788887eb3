"""Files in, files out: streamed, in order, in memory that does not grow with the file, and never a half-written output.

A row that cannot be read (bad UTF-8, missing or wrong value, broken JSON) is carried into the output with `error`, by file and row number.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol

from ipu_moderation.errors import InputError
from ipu_moderation.moderator import Moderator
from ipu_moderation.policy import Policy

CHUNK = 512
FORMATS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".txt")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of an input file: a text, or the reason why there is none."""

    id: str
    number: int
    """1 for the first row of data."""
    text: str | None = field(default=None, repr=False)
    language: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns hold what."""

    text: str = "text"
    id: str | None = None
    """None: a column `id` when there is one, else the row number."""
    language: str | None = None


# --- reading ---------------------------------------------------------------------------------------------------------------------------------


def read(path: Path | str, columns: Columns | None = None, *, start: int = 0) -> Iterator[Row]:
    """Rows of a .csv, .tsv, .jsonl, .parquet or .txt file, their .gz, or `-` (standard input: JSONL when the first line begins with `{`, else a post a line).

    Args:
        path: the file.
        columns: which columns hold text, id and language.
        start: rows to pass over.

    Raises:
        InputError: when the file is missing, of an unknown format, or lacks a column (the message names those it has).
    """
    columns = columns or Columns()
    return islice(_rows(str(path), columns), start, None)


def _rows(name: str, columns: Columns) -> Iterator[Row]:
    if name == "-":
        lines = iter(sys.stdin.buffer)
        first = next(lines, b"")
        every = (line for part in ([first] if first else [], lines) for line in part)
        yield from _jsonl("standard input", every, columns) if first.lstrip().startswith(b"{") else _plain("standard input", every)
        return
    path = Path(name)
    kind = _format(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if kind == ".parquet":
        yield from _parquet(path, columns)
        return
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
        try:
            if kind in (".csv", ".tsv"):
                yield from _csv(str(path), stream, columns, "\t" if kind == ".tsv" else ",")
            elif kind == ".txt":
                yield from _plain(str(path), stream)
            else:
                yield from _jsonl(str(path), stream, columns)
        except (EOFError, gzip.BadGzipFile) as error:
            raise InputError(f"{path}: the compressed file ends early or is damaged: {error}") from error


def _format(path: Path) -> str:
    kind = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    if kind.lower() not in FORMATS or (kind.lower() == ".parquet" and path.suffix == ".gz"):
        raise InputError(f"{path}: the format is told by the ending, and '{kind or path.suffix}' is not one of {', '.join(FORMATS)} (each but .parquet also with .gz)")
    return kind.lower()


def _decode(line: bytes) -> tuple[str, bool]:
    """Text, and whether it was valid UTF-8."""
    try:
        return line.decode("utf-8"), True
    except UnicodeDecodeError:
        return line.decode("utf-8", "surrogateescape"), False


def _valid(text: str) -> bool:
    """False when bytes were carried through that are no UTF-8."""
    return not any("\udc80" <= c <= "\udcff" for c in text) if not text.isascii() else True


def _need(name: str, wanted: Iterable[str | None], existing: list[str]) -> None:
    for column in wanted:
        if column is not None and column not in existing:
            raise InputError(f"{name}: there is no column '{column}'. The columns are: {', '.join(existing) or 'none'}. Name the right one with --text-column, --id-column or --language-column.")


def _row(name: str, number: int, values: dict[str, Any], columns: Columns) -> Row:
    identity = values.get(columns.id or "id")
    row_id = str(number) if identity is None or identity == "" else str(identity)
    text = values.get(columns.text)
    language = values.get(columns.language) if columns.language else None
    if text is None:
        return Row(row_id, number, error=f"{name}, row {number}: no text")
    if not isinstance(text, str):
        return Row(row_id, number, error=f"{name}, row {number}: the text is {type(text).__name__}, not a string")
    if not _valid(text):
        return Row(row_id if _valid(row_id) else str(number), number, error=f"{name}, row {number}: not valid UTF-8. Convert the file, for example with: iconv -f WINDOWS-1252 -t UTF-8")
    return Row(row_id, number, text, str(language) if language else None)


def _csv(name: str, stream: IO[bytes], columns: Columns, delimiter: str) -> Iterator[Row]:
    csv.field_size_limit(sys.maxsize)
    lines = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
    reader = csv.reader((line.replace("\0", "\ufffd") for line in lines), delimiter=delimiter)
    header = next(reader, None)
    if header is None:
        raise InputError(f"{name}: the file is empty; a header with the column names is expected")
    _need(name, (columns.text, columns.id, columns.language), header)
    number = 0
    while True:
        number += 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Row(str(number), number, error=f"{name}, row {number}: not valid CSV: {error}")
            continue
        if not cells:
            number -= 1
            continue
        if len(cells) != len(header):
            yield Row(str(number), number, error=f"{name}, row {number}: {len(cells)} cells, the header has {len(header)}. Is a quotation mark missing?")
            continue
        yield _row(name, number, dict(zip(header, cells, strict=True)), columns)


def _jsonl(name: str, lines: Iterable[bytes], columns: Columns) -> Iterator[Row]:
    number = 0
    for line in lines:
        if not line.strip():
            continue
        number += 1
        text, valid = _decode(line)
        if not valid:
            yield Row(str(number), number, error=f"{name}, row {number}: not valid UTF-8")
            continue
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            where = f" at column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
            yield Row(str(number), number, error=f"{name}, row {number}: broken JSON{where}")
            continue
        if not isinstance(values, dict):
            yield Row(str(number), number, error=f"{name}, row {number}: a JSON object is expected, this is {type(values).__name__}")
            continue
        if number == 1:
            _need(name, (columns.text, columns.id, columns.language), list(values))
        yield _row(name, number, values, columns)


def _plain(name: str, lines: Iterable[bytes]) -> Iterator[Row]:
    for number, line in enumerate(lines, 1):
        text, valid = _decode(line.rstrip(b"\r\n"))
        yield Row(str(number), number, text) if valid else Row(str(number), number, error=f"{name}, row {number}: not valid UTF-8")


def _parquet(path: Path, columns: Columns) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        names = file.schema_arrow.names
        _need(str(path), (columns.text, columns.id, columns.language), names)
        wanted = [c for c in dict.fromkeys((columns.text, columns.id or "id", columns.language)) if c in names]
        number = 0
        for batch in file.iter_batches(batch_size=2048, columns=wanted):
            for values in batch.to_pylist():
                number += 1
                yield _row(str(path), number, values, columns)
    except pa.ArrowInvalid as error:
        raise InputError(f"{path}: not a readable Parquet file") from error


# --- assessing -------------------------------------------------------------------------------------------------------------------------------


def assess_rows(rows: Iterable[Row], moderator: Moderator, policy: Policy | None, *, show_text: bool = False, workers: int = 1) -> Iterator[dict[str, Any]]:
    """Output rows in order: assessment and decision, or `error`. With `workers` > 1, in that many processes."""
    chunks = iter(lambda it=iter(rows): list(islice(it, CHUNK)), [])  # type: ignore[misc]
    if workers <= 1:
        for chunk in chunks:
            yield from _assess_chunk(chunk, moderator, policy, show_text)
        return
    with ProcessPoolExecutor(workers, mp_context=_spawn(), initializer=_start_worker, initargs=(moderator, policy, show_text)) as pool:
        waiting: list[Future[list[dict[str, Any]]]] = []
        for chunk in chunks:
            waiting.append(pool.submit(_in_worker, chunk))
            if len(waiting) > 2 * workers:
                yield from waiting.pop(0).result()
        for future in waiting:
            yield from future.result()


def _assess_chunk(chunk: list[Row], moderator: Moderator, policy: Policy | None, show_text: bool) -> list[dict[str, Any]]:
    good = [row for row in chunk if row.text is not None]
    assessments = moderator.assess_many((row.text or "" for row in good), languages=(row.language for row in good))
    by_number = {}
    for row, assessment in zip(good, assessments, strict=True):
        out = {"id": row.id, **assessment.to_dict(show_text=show_text)}
        if policy is not None:
            out["decision"] = policy.decide(assessment).to_dict()
        by_number[row.number] = out
    return [by_number.get(row.number) or {"id": row.id, "error": row.error} for row in chunk]


_worker: tuple[Moderator, Policy | None, bool] | None = None


def _start_worker(moderator: Moderator, policy: Policy | None, show_text: bool) -> None:
    global _worker
    _worker = (moderator, policy, show_text)


def _in_worker(chunk: list[Row]) -> list[dict[str, Any]]:
    if _worker is None:
        raise RuntimeError("a worker was asked before it was started")
    return _assess_chunk(chunk, *_worker)


def _spawn() -> Any:
    import multiprocessing

    return multiprocessing.get_context("spawn")


# --- writing ---------------------------------------------------------------------------------------------------------------------------------

FLAT = (
    "id", "language", "language_confidence", "support", "hate", "abuse", "violence", "incitement", "target", "tier", "truncated", "findings", "action", "priority", "category",
    "reasons", "policy", "error",
)  # fmt: skip


def flat(row: dict[str, Any]) -> dict[str, Any]:
    """An output row as one flat record, for tables; `target` is the likeliest group when hate is likelier than not."""
    if "error" in row:
        return {**dict.fromkeys(FLAT), "id": row["id"], "error": row["error"]}
    scores, decision = row["scores"], row.get("decision") or {}
    group = max(row["targets"], key=row["targets"].__getitem__) if row["targets"] and scores.get("hate", 0) >= 0.5 else None
    return {
        **dict.fromkeys(FLAT),
        "id": row["id"], "language": row["language"]["code"], "language_confidence": row["language"]["confidence"], "support": row["support"], **scores, "target": group,
        "tier": row["tier"], "truncated": row["truncated"], "findings": json.dumps(row["findings"], ensure_ascii=False), "action": decision.get("action"),
        "priority": decision.get("priority"), "category": decision.get("category"), "reasons": " ".join(decision.get("reasons", ())), "policy": decision.get("policy"),
        **({"text": row["text"]} if "text" in row else {}),
    }  # fmt: skip


class Writer(Protocol):
    """Takes output rows one at a time."""

    def __call__(self, row: dict[str, Any]) -> None: ...


@contextmanager
def write(path: Path | str, *, show_text: bool = False) -> Iterator[Writer]:
    """A writer for .jsonl, .csv, .tsv or .parquet (.gz for the text formats), or `-`: JSONL on standard output.

    The file appears under its name only when everything was written: until then it is `.NAME.part` beside it, which an interruption removes.

    Raises:
        InputError: when the ending says no known format or the directory is missing.
    """
    if str(path) == "-":
        yield lambda row: print(json.dumps(row, ensure_ascii=True))
        return
    target = Path(path)
    kind = _format(target)
    if kind == ".txt":
        raise InputError(f"{target}: results are written as .jsonl, .csv, .tsv or .parquet")
    if not target.parent.is_dir():
        raise InputError(f"{target.parent}: no such directory")
    part = target.with_name(f".{target.name}.part")
    try:
        if kind == ".parquet":
            with _ParquetWriter(part, show_text) as writer:
                yield writer
        else:
            with gzip.open(part, "wt", encoding="utf-8", newline="") if target.suffix == ".gz" else part.open("w", encoding="utf-8", newline="") as stream:
                yield _text_writer(stream, kind, show_text)
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def _text_writer(stream: Any, kind: str, show_text: bool) -> Writer:
    if kind in (".jsonl", ".ndjson"):
        return lambda row: print(json.dumps(row, ensure_ascii=True), file=stream)
    table = csv.DictWriter(stream, [*FLAT, "text"] if show_text else FLAT, delimiter="\t" if kind == ".tsv" else ",")
    table.writeheader()

    def one(row: dict[str, Any]) -> None:
        table.writerow({k: v.encode("utf-8", "replace").decode() if isinstance(v, str) else v for k, v in flat(row).items()})

    return one


class _ParquetWriter(AbstractContextManager["_ParquetWriter"]):
    def __init__(self, path: Path, show_text: bool) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        number, text = pa.float64(), pa.string()
        types = {"language_confidence": number, "hate": number, "abuse": number, "violence": number, "incitement": number, "priority": number, "truncated": pa.bool_()}
        self._schema = pa.schema([(name, types.get(name, text)) for name in ((*FLAT, "text") if show_text else FLAT)])
        self._file, self._rows, self._table = pq.ParquetWriter(path, self._schema, compression="zstd"), [], pa.Table
        self._rows: list[dict[str, Any]] = []

    def __call__(self, row: dict[str, Any]) -> None:
        self._rows.append({k: v.encode("utf-8", "replace").decode() if isinstance(v, str) else v for k, v in flat(row).items()})
        if len(self._rows) >= 4096:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._file.write_table(self._table.from_pylist(self._rows, schema=self._schema))
            self._rows.clear()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self._flush()
        self._file.close()


def run(source: Path | str, target: Path | str, moderator: Moderator, policy: Policy | None, *, columns: Columns | None = None, show_text: bool = False, workers: int = 1,
        strict: bool = False, seen: Callable[[dict[str, Any]], None] | None = None) -> int:  # fmt: skip
    """Assess a file into a file; returns how many rows had errors.

    Args:
        source: see `read`.
        target: see `write`.
        moderator: assesses.
        policy: decides; no decisions when None.
        columns: see `read`.
        show_text: write the texts beside the results.
        workers: processes.
        strict: stop at the first row that cannot be read.
        seen: called with each output row, for progress.

    Raises:
        InputError: see `read` and `write`; with `strict`, for a row that cannot be read.
    """
    errors = 0
    with write(target, show_text=show_text) if target is not None else nullcontext() as writer:
        for row in assess_rows(_strict(read(source, columns)) if strict else read(source, columns), moderator, policy, show_text=show_text, workers=workers):
            errors += "error" in row
            writer(row)
            if seen is not None:
                seen(row)
    return errors


def _strict(rows: Iterable[Row]) -> Iterator[Row]:
    for row in rows:
        if row.error is not None:
            raise InputError(f"{row.error} (stopped here because of --strict; nothing was written)")
        yield row
