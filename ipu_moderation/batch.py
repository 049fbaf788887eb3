"""Files in, files out: streamed, in order, in memory that does not grow with the file, and never a half-written output.

A row that cannot be read (bad UTF-8, missing or wrong value, broken JSON) is carried into the output with `error`, by file and row number.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import os
import signal
import sys
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol, cast

from ipu_moderation.errors import InputError
from ipu_moderation.moderator import Moderator
from ipu_moderation.policy import Policy
from ipu_moderation.types import Assessment, Language

CHUNK = 512
FORMATS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".txt")
LONGEST_CELL = 16 * 2**20
"""Characters of a CSV cell: a quotation mark that is never closed must not take the whole file into memory."""


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


def read(path: Path | str, columns: Columns | None = None, *, strict: bool = False) -> Iterator[Row]:
    """Rows of a .csv, .tsv, .jsonl, .parquet or .txt file, their .gz, or `-` (standard input: JSONL when the first line begins with `{`, else a post a line).

    Args:
        path: the file.
        columns: which columns hold text, id and language.
        strict: stop at the first row that cannot be read.

    Raises:
        InputError: when the file is missing, of an unknown format, or lacks a column (the message names those it has); with `strict`, for a row that cannot be read.
    """
    for row in _rows(str(path), columns or Columns()):
        if strict and row.error is not None:
            raise InputError(f"{row.error} (stopped here because of --strict)")
        yield row


def _rows(name: str, columns: Columns) -> Iterator[Row]:
    if name == "-":
        lines = _without_mark(sys.stdin.buffer)
        first = next(lines, b"")
        every = (line for part in ([first] if first else [], lines) for line in part)
        yield from _jsonl("standard input", every, columns) if first.lstrip().startswith(b"{") else _plain("standard input", every)
        return
    path = Path(name)
    kind = _format(path)
    if kind == ".parquet":
        yield from _parquet(path, columns)
        return
    with _opened(path) as stream:
        if kind in (".csv", ".tsv"):
            yield from _csv(name, stream, columns, "\t" if kind == ".tsv" else ",")
        elif kind == ".txt":
            yield from _plain(name, _without_mark(stream))
        else:
            yield from _jsonl(name, _without_mark(stream), columns)


def _format(path: Path) -> str:
    kind = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    if kind.lower() not in FORMATS or (kind.lower() == ".parquet" and path.suffix == ".gz"):
        raise InputError(f"{path}: the format is told by the ending, and '{kind or path.suffix}' is not one of {', '.join(FORMATS)} (each but .parquet also with .gz)")
    return kind.lower()


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    try:
        stream = cast("IO[bytes]", gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb"))  # noqa: SIM115 - closed below, apart from the errors of opening
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    with stream:
        try:
            yield stream
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise InputError(f"{path}: the compressed file ends early or is damaged: {error}") from error


def _without_mark(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The lines without the byte-order mark that some programs write at the start of a file."""
    for number, line in enumerate(lines):
        yield line if number else line.removeprefix(codecs.BOM_UTF8)


def _decode(line: bytes) -> str | None:
    """None when it is no UTF-8."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _not_utf8(name: str, number: int) -> Row:
    return Row(str(number), number, error=f"{name}, row {number}: not valid UTF-8. Convert the file, for example with: iconv -f WINDOWS-1252 -t UTF-8")


def _need(name: str, columns: Columns, existing: list[str]) -> None:
    for column in (columns.text, columns.id, columns.language):
        if column is not None and column not in existing:
            # In a file without a header the first post would stand here: no more of it than a column name needs.
            names = [c if len(c) <= 40 else c[:40] + "…" for c in existing[:50]]
            raise InputError(
                f"{name}: there is no column '{column}'. The columns are: {', '.join(names) or 'none'}{', …' if len(existing) > 50 else ''}. "
                "Name the right one with --text-column, --id-column or --language-column."
            )


def _row(name: str, number: int, values: dict[str, Any], columns: Columns) -> Row:
    def unread(why: str) -> Row:
        return Row(row_id, number, error=f"{name}, row {number}: {why}")

    row_id, identity, text = str(number), values.get(columns.id or "id"), values.get(columns.text)
    if isinstance(text, bytes) or isinstance(identity, bytes):
        return unread("not valid UTF-8")
    if isinstance(identity, dict | list):
        return unread(f"the id is {type(identity).__name__}, not a string or number")
    if identity is not None and identity != "":
        row_id = str(identity)
    if text is None:
        return unread("no text")
    if not isinstance(text, str):
        return unread(f"the text is {type(text).__name__}, not a string")
    stated = values.get(columns.language) if columns.language else None
    try:
        language = None if stated is None or stated == "" else Language.stated(stated).code
    except InputError as error:
        return unread(str(error))
    return Row(row_id, number, text, language)


class _Lines:
    """Lines that can be given back: after a quotation mark that is never closed, reading goes on with the next line instead of losing the rest of the file."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines, self._again, self._taken = iter(lines), deque[str](), list[str]()
        self.number = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._lines)
        self._taken.append(line)
        self.number += 1
        return line

    def begin_record(self) -> None:
        self._taken.clear()

    def give_back(self) -> None:
        """All lines of the record but its first."""
        rest = self._taken[1:]
        self._again.extendleft(reversed(rest))
        self.number -= len(rest)


def _csv(name: str, stream: IO[bytes], columns: Columns, delimiter: str) -> Iterator[Row]:
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_CELL))
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
    lines = _Lines(line.replace("\0", "\ufffd") for line in text)  # before Python 3.11 the reader refuses NUL
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        header = next(reader)
    except StopIteration:
        raise InputError(f"{name}: the file is empty; a header with the column names is expected") from None
    except csv.Error as error:
        raise InputError(f"{name}: the header is not valid CSV: {error}") from error
    if not all(map(_is_utf8, header)):
        raise InputError(f"{name}: the header is not valid UTF-8. Convert the file, for example with: iconv -f UTF-16 -t UTF-8")
    _need(name, columns, header)
    number = 0
    while True:
        number += 1
        lines.begin_record()
        first = lines.number + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Row(str(number), number, error=f"{name}, row {number} (line {first}): not valid CSV: {error}. Is there a quotation mark that is not doubled or not closed?")
            lines.give_back()
            continue
        if not cells:
            number -= 1
        elif len(cells) != len(header):
            yield Row(str(number), number, error=f"{name}, row {number} (line {first}): {len(cells)} cells, the header has {len(header)}. Is a quotation mark missing?")
        elif not all(map(_is_utf8, cells)):
            yield _not_utf8(name, number)
        else:
            yield _row(name, number, dict(zip(header, cells, strict=True)), columns)


def _is_utf8(cell: str) -> bool:
    """False when bytes that are no UTF-8 were carried through as surrogates."""
    return cell.isascii() or not any("\udc80" <= c <= "\udcff" for c in cell)


def read_objects(path: Path | str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Row number, and the JSON object of the row, or in words why there is none; of a .jsonl file, its .gz, or `-` for standard input.

    Raises:
        InputError: when the file is missing or of another format.
    """
    if str(path) == "-":
        yield from _objects("standard input", _without_mark(sys.stdin.buffer))
        return
    path = Path(path)
    if _format(path) not in (".jsonl", ".ndjson"):
        raise InputError(f"{path}: a .jsonl file is expected, as it is made by: ipu-moderation assess INPUT -o FILE.jsonl")
    with _opened(path) as stream:
        yield from _objects(str(path), _without_mark(stream))


def _objects(name: str, lines: Iterable[bytes]) -> Iterator[tuple[int, dict[str, Any] | str]]:
    number = 0
    for line in lines:
        if not line.strip():
            continue
        number += 1
        text = _decode(line.rstrip(b"\r\n"))
        if text is None:
            yield number, str(_not_utf8(name, number).error)
            continue
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            where = f" at column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
            yield number, f"{name}, row {number}: broken JSON{where}"
            continue
        yield number, values if isinstance(values, dict) else f"{name}, row {number}: a JSON object is expected, this is {type(values).__name__}"


def _jsonl(name: str, lines: Iterable[bytes], columns: Columns) -> Iterator[Row]:
    checked = False
    for number, values in _objects(name, lines):
        if isinstance(values, str):
            yield Row(str(number), number, error=values)
            continue
        if not checked:  # of the first row that can be read: later ones may lack what is optional
            _need(name, columns, list(values))
            checked = True
        yield _row(name, number, values, columns)


def _plain(name: str, lines: Iterable[bytes]) -> Iterator[Row]:
    for number, line in enumerate(lines, 1):
        text = _decode(line.rstrip(b"\r\n"))
        yield _not_utf8(name, number) if text is None else Row(str(number), number, text)


def _parquet(path: Path, columns: Columns) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def values_of(column: Any) -> list[Any]:
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if any(is_kind(column.type) for is_kind in (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)):
            # Not decoded by pyarrow, which gives up on a whole batch where one cell is no UTF-8. Such a cell stays bytes.
            cells: list[bytes | None] = column.cast(pa.large_binary()).to_pylist()
            return [cell if cell is None or (text := _decode(cell)) is None else text for cell in cells]
        return list(column.to_pylist())

    number = 0
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            _need(str(path), columns, names)
            wanted = [c for c in names if c in (columns.text, columns.id or "id", columns.language)]
            for batch in file.iter_batches(batch_size=2048, columns=wanted):
                for cells in zip(*(values_of(batch.column(c)) for c in wanted), strict=True):
                    number += 1
                    yield _row(str(path), number, dict(zip(wanted, cells, strict=True)), columns)
    except (pa.ArrowException, OSError) as error:
        after = f" after row {number}" if number else ""
        why = error.strerror if isinstance(error, OSError) and error.strerror else f"not a readable Parquet file{after}"
        raise InputError(f"{path}: {why}") from error


# --- assessing -------------------------------------------------------------------------------------------------------------------------------


def assess_rows(rows: Iterable[Row], moderator: Moderator, policy: Policy | None, *, show_text: bool = False, workers: int = 1) -> Iterator[dict[str, Any]]:
    """Output rows in order: assessment and decision, or `error`. With `workers` > 1, in that many processes."""
    if workers <= 1:
        for chunk in _chunks(rows):
            yield from _assess_chunk(chunk, moderator, policy, show_text)
        return
    with ProcessPoolExecutor(workers, mp_context=_spawn(), initializer=_start_worker, initargs=(moderator, policy, show_text)) as pool:
        waiting: deque[Future[list[dict[str, Any]]]] = deque()
        try:
            for chunk in _chunks(rows):
                waiting.append(pool.submit(_in_worker, chunk))
                if len(waiting) > 2 * workers:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _chunks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    rows = iter(rows)
    while chunk := list(islice(rows, CHUNK)):
        yield chunk


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
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the main process ends the workers
    _worker = (moderator, policy, show_text)


def _in_worker(chunk: list[Row]) -> list[dict[str, Any]]:
    if _worker is None:
        raise RuntimeError("a worker was asked before it was started")
    return _assess_chunk(chunk, *_worker)


def _spawn() -> Any:
    import multiprocessing

    return multiprocessing.get_context("spawn")


def decide_rows(path: Path | str, policy: Policy, *, show_text: bool = False) -> Iterator[dict[str, Any]]:
    """Saved assessments with the decision of another policy, in order; rows that are none carry `error`.

    Raises:
        InputError: see `read_objects`.
    """
    for number, values in read_objects(path):
        if isinstance(values, str):
            yield {"id": str(number), "error": values}
            continue
        row = {"id": str(number), **values}
        if not show_text:
            row.pop("text", None)
        if "error" not in row:
            try:
                row["decision"] = policy.decide(Assessment.from_dict(row)).to_dict()
            except ValueError:
                row = {"id": row["id"], "error": f"{path}, row {number}: not an assessment; make one with: ipu-moderation assess INPUT -o FILE.jsonl"}
        yield row


# --- writing ---------------------------------------------------------------------------------------------------------------------------------

FLAT = (
    "id", "language", "language_confidence", "support", "hate", "abuse", "violence", "incitement", "target", "tier", "truncated", "findings", "faults", "action", "priority",
    "category", "reasons", "policy", "versions", "error",
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
        "tier": row["tier"], "truncated": row["truncated"], "findings": json.dumps(row["findings"], ensure_ascii=False),
        "faults": "; ".join(row["faults"]), "versions": json.dumps(row["versions"], ensure_ascii=False), "action": decision.get("action"),
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
        InputError: when the ending says no known format, or the file cannot be made.
    """
    if str(path) == "-":
        yield lambda row: print(json.dumps(row, ensure_ascii=True))
        sys.stdout.flush()  # here, where typer still ends quietly when the reader has gone (`| head`)
        return
    target = Path(path)
    kind = _format(target)
    if kind == ".txt":
        raise InputError(f"{target}: results are written as .jsonl, .csv, .tsv or .parquet")
    if target.is_dir():
        raise InputError(f"{target}: this is a directory; name a file in it")
    part = target.with_name(f".{target.name}.part")
    try:
        part.touch()
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {error.strerror}") from error
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
    table = csv.DictWriter(stream, [*FLAT, "text"] if show_text else FLAT, extrasaction="ignore", delimiter="\t" if kind == ".tsv" else ",")
    table.writeheader()
    return lambda row: table.writerow(_encodable(flat(row)))


def _encodable(record: dict[str, Any]) -> dict[str, Any]:
    """Lone surrogates cannot be written as UTF-8: `?` stands in their place."""
    return {k: v.encode("utf-8", "replace").decode() if isinstance(v, str) else v for k, v in record.items()}


class _ParquetWriter(AbstractContextManager["_ParquetWriter"]):
    def __init__(self, path: Path, show_text: bool) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        number, text = pa.float64(), pa.string()
        types = {"language_confidence": number, "hate": number, "abuse": number, "violence": number, "incitement": number, "priority": number, "truncated": pa.bool_()}
        self._schema = pa.schema([(name, types.get(name, text)) for name in ((*FLAT, "text") if show_text else FLAT)])
        self._file, self._table = pq.ParquetWriter(path, self._schema, compression="zstd"), pa.Table
        self._rows: list[dict[str, Any]] = []

    def __call__(self, row: dict[str, Any]) -> None:
        self._rows.append(_encodable(flat(row)))
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


def run(
    source: Path | str,
    target: Path | str,
    moderator: Moderator,
    policy: Policy | None,
    *,
    columns: Columns | None = None,
    show_text: bool = False,
    workers: int = 1,
    strict: bool = False,
    seen: Callable[[dict[str, Any]], None] | None = None,
) -> int:
    """Assess a file into a file; returns how many rows have an error or a fault.

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
        InputError: see `read` and `write`; and when a file would be written over itself.
    """
    if "-" not in (str(source), str(target)) and Path(source).resolve() == Path(target).resolve():
        raise InputError(f"{target}: the results would take the place of what they are made from; name another file with -o")
    wanting = 0
    with write(target, show_text=show_text) as writer:
        for row in assess_rows(read(source, columns, strict=strict), moderator, policy, show_text=show_text, workers=workers):
            wanting += incomplete(row)
            writer(row)
            if seen is not None:
                seen(row)
    return wanting


def incomplete(row: dict[str, Any]) -> bool:
    """True for an output row with an error, or with a fault on the way."""
    return "error" in row or bool(row["faults"])
