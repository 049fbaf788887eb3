"""Labelled files -> posts, streamed, each row checked against the mapping before anything is scored.

A mapping says which column holds what, and what a label means. It is told by the columns where that is safe (`text` and `label`; the form of
HateCheck, known by `functionality,test_case,label_gold`; columns named like our categories), else by flags or a small YAML file:

    text: tweet
    id: tweet_id
    language: lang            # or language_is: de, for the whole file
    labels: {hate: HS, abuse: OFF}
    values: {"HATE": yes, "none": no, "unclear": unknown}
    groups: target            # who is spoken of; several are divided by ; | or ,
    functionality: test
    protected: kind           # the kind of protected expression, for the table of over-flagging
    side: party               # for the table of political sides
    source: origin            # any other division that is to have a table
    cluster: template         # rows of one cluster are not independent: intervals take that into account
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import yaml

from ipu_moderation.batch import FORMATS
from ipu_moderation.errors import InputError
from ipu_moderation.taxonomy import SCORED, Category

#: What can be measured, in the order of the columns everywhere: the scored categories, and the one that rules find.
MEASURED: tuple[str, ...] = (*(c.value for c in SCORED), Category.DEFAMATION_RISK.value)
FACETS = ("functionality", "protected", "side", "source")
"""Divisions of which a row has at most one; a table each. (A row may name several groups, and has a language in any case.)"""

TEXT = ("text", "comment", "comment_text", "tweet", "post", "content", "sentence", "message", "body")
LABEL = ("label", "labels", "class", "gold", "label_gold", "hate", "hateful", "is_hate", "hs", "hate_speech", "y")
LANGUAGE = ("language", "lang")
GROUPS = ("groups", "group", "target_group", "targets", "target", "target_ident")
HATECHECK = frozenset({"functionality", "test_case", "label_gold"})

YES = frozenset({"1", "1.0", "true", "t", "yes", "y"})
NO = frozenset({"0", "0.0", "false", "f", "no", "n", "none", "not", "non", "normal", "neutral", "clean", "neither"})
UNKNOWN = frozenset({"", "null", "na", "n/a", "nan", "unknown", "unclear", "?"})
#: Spellings that say yes for one category only: "offensive" is no answer to the question whether a post is hateful.
OWN = {
    "hate": frozenset({"hate", "hateful", "hs", "hatespeech", "hate speech"}),
    "abuse": frozenset({"abuse", "abusive", "off", "offensive", "offence", "toxic", "insult", "profanity"}),
    "violence": frozenset({"violence", "violent", "threat"}),
    "incitement": frozenset({"incitement", "incites"}),
    "defamation_risk": frozenset({"defamation", "defamation risk", "risk"}),
}
OWN_NO = {
    "hate": frozenset({"no hate", "not hate", "non hate", "non hateful", "nonhate", "nonhateful", "nothate", "not hateful", "no hate speech"}),
    "abuse": frozenset({"non offensive", "not offensive", "not abusive", "non toxic", "nontoxic", "not toxic"}),
}


@dataclass(frozen=True, slots=True)
class Post:
    """One labelled row, or the reason why it cannot be used."""

    id: str
    number: int
    """1 for the first row of data."""
    text: str | None = field(default=None, repr=False)
    language: str | None = None
    """BCP 47; None: to be identified."""
    labels: tuple[int, ...] = (-1,) * len(MEASURED)
    """1, 0, or -1 where the data does not say; in the order of `MEASURED`."""
    groups: tuple[str, ...] = ()
    facets: tuple[str | None, ...] = (None,) * len(FACETS)
    """In the order of `FACETS`."""
    cluster: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Mapping:
    """Which column holds what, and what label spellings mean beyond the usual ones."""

    text: str
    labels: dict[str, str]
    """Category -> column."""
    id: str | None = None
    language: str | None = None
    language_is: str | None = None
    groups: str | None = None
    functionality: str | None = None
    protected: str | None = None
    side: str | None = None
    source: str | None = None
    cluster: str | None = None
    values: dict[str, str] = field(default_factory=dict)
    """Spelling, folded -> yes, no or unknown."""

    def columns(self) -> list[str]:
        """All columns that it names."""
        named = (self.text, self.id, self.language, self.groups, self.functionality, self.protected, self.side, self.source, self.cluster, *self.labels.values())
        return list(dict.fromkeys(c for c in named if c))

    def to_dict(self) -> dict[str, Any]:
        """What the results say of it."""
        return {k: v for k, v in asdict(self).items() if v}


# --- records: any file as dictionaries ---------------------------------------------------------------------------------------------------------


@contextmanager
def _bytes(path: Path) -> Iterator[IO[bytes]]:
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
            yield stream  # type: ignore[misc]
    except (EOFError, gzip.BadGzipFile) as error:
        raise InputError(f"{path}: the compressed file ends early or is damaged") from error


def kind_of(path: Path) -> str:
    kind = (Path(path.stem).suffix if path.suffix == ".gz" else path.suffix).lower()
    known = [*(f for f in FORMATS if f != ".txt"), ".xlsx"]
    if kind not in known:
        raise InputError(f"{path}: labelled data is read from {', '.join(known)} (the text formats also as .gz); this ends in '{kind or path.name}'")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    return kind


def records(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Rows as dictionaries with their number, in order; a string where a row cannot be read: the reason.

    Raises:
        InputError: when the file is missing, empty, damaged or of an unknown format.
    """
    kind = kind_of(path)
    if kind == ".parquet":
        yield from _parquet(path)
    elif kind == ".xlsx":
        yield from _xlsx(path)
    else:
        with _bytes(path) as stream:
            yield from _csv(path, stream, "\t" if kind == ".tsv" else None) if kind in (".csv", ".tsv") else _jsonl(path, stream)


def header(path: Path) -> tuple[list[str], list[dict[str, Any]]]:
    """The column names, and the first rows that can be read (at most five).

    Raises:
        InputError: as `records`, and when there are no rows.
    """
    rows = (row for _, row in records(path) if isinstance(row, dict))
    first = [row for row, _ in zip(rows, range(5), strict=False)]
    if not first:
        raise InputError(f"{path}: 0 rows of data that can be read. A header with column names and at least one row are needed.")
    return list(dict.fromkeys(name for row in first for name in row)), first


def _csv(path: Path, stream: IO[bytes], delimiter: str | None) -> Iterator[tuple[int, dict[str, Any] | str]]:
    csv.field_size_limit(sys.maxsize)
    lines: Iterable[str] = (line.replace("\0", "\ufffd") for line in io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline=""))
    lines = iter(lines)
    top = next(lines, None)
    if top is None or not top.strip():
        raise InputError(f"{path}: 0 rows: the file is empty. A header such as text,label is expected in the first line.")
    if delimiter is None:  # spreadsheets of many countries write semicolons
        delimiter = max(",;\t", key=top.count)
    names = [name.strip() for name in next(csv.reader([top], delimiter=delimiter))]
    if any(name.casefold() in _DATA_LIKE or len(name) > 64 for name in names):  # the message must not hold what may be a post
        raise InputError(f"{path}: the first line looks like data, not like column names. Add a header line, for example: text,label")
    reader, number = csv.reader(lines, delimiter=delimiter), 0
    while True:
        number += 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield number, f"not valid CSV ({error})"
            continue
        if not cells:
            number -= 1
        elif len(cells) != len(names):
            yield number, f"{len(cells)} cells, the header has {len(names)}; is a quotation mark missing?"
        elif not all(cell.isascii() or _valid(cell) for cell in cells):
            yield number, "not valid UTF-8; convert the file, for example with: iconv -f WINDOWS-1252 -t UTF-8"
        else:
            yield number, dict(zip(names, cells, strict=True))


def _jsonl(path: Path, stream: IO[bytes]) -> Iterator[tuple[int, dict[str, Any] | str]]:
    number = 0
    for line in stream:
        if not line.strip():
            continue
        number += 1
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            yield number, "broken JSON, or not UTF-8"
            continue
        yield number, row if isinstance(row, dict) else f"a JSON object is expected, this is {type(row).__name__}"
    if not number:
        raise InputError(f"{path}: 0 rows: the file is empty. One JSON object a line is expected.")


def _parquet(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file, number = pq.ParquetFile(path), 0
        for batch in file.iter_batches(batch_size=2048):
            for row in batch.to_pylist():
                number += 1
                yield number, row
    except pa.ArrowInvalid as error:
        raise InputError(f"{path}: not a readable Parquet file") from error


def _xlsx(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """The first sheet; the header is its first row with two cells or more. Of merged cells the first holds the value; rows without any cell are passed over."""
    try:
        import openpyxl
    except ImportError as error:
        raise InputError(f"{path}: spreadsheets need openpyxl. Install it with: pip install openpyxl; or save the sheet as CSV") from error
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except Exception as error:  # a damaged archive raises errors of many kinds
        raise InputError(f"{path}: not a readable spreadsheet ({type(error).__name__}). Save it anew, or as CSV.") from error
    names: list[str] = []
    number = 0
    for cells in book.worksheets[0].iter_rows(values_only=True):
        filled = [c for c in cells if c is not None and str(c).strip()]
        if not names:
            if len(filled) >= 2:
                names = ["" if c is None else str(c).strip() for c in cells]
                if any(name.casefold() in _DATA_LIKE or len(name) > 64 for name in names):
                    raise InputError(f"{path}: the first row looks like data, not like column names. Add a header row, for example: text, label")
        elif filled:
            number += 1
            yield number, {name: cell for name, cell in zip(names, cells, strict=False) if name}
    if not number:
        raise InputError(f"{path}: 0 rows: a header row with column names, and a row for each post below it, are expected on the first sheet.")


_DATA_LIKE = frozenset({"0", "1", "0.0", "1.0", "true", "false", "yes", "no", "non-hateful"})


def _valid(text: str) -> bool:
    return not any("\udc80" <= c <= "\udcff" for c in text)


# --- the mapping -------------------------------------------------------------------------------------------------------------------------------


def mapping_of(path: Path, *, given: Path | None = None, flags: dict[str, Any] | None = None) -> Mapping:
    """The mapping of a file: flags first, then the YAML file, then what the columns tell.

    Args:
        path: the labelled file.
        given: a YAML file as in the docstring of the module.
        flags: fields of `Mapping`; None values are passed over.

    Raises:
        InputError: when a column is missing, or nothing tells which column holds text or labels.
    """
    names, first = header(path)
    told = _told(names, first)
    if given is not None:
        told |= _from_yaml(given)
    told |= {k: v for k, v in (flags or {}).items() if v}
    told["values"] = {_fold(k): v for k, v in (told.get("values") or {}).items()}
    exist = f"The columns are: {', '.join(names)}."
    if "text" not in told:
        raise InputError(f"{path}: no column is known to hold the text. {exist} Name it with --text-column.")
    if not told.get("labels"):
        raise InputError(f"{path}: no column is known to hold labels. {exist} Name one with --label-column [CATEGORY=]COLUMN, for example --label-column {names[-1]}.")
    mapping = Mapping(**told)
    for category in mapping.labels:
        if category not in MEASURED:
            raise InputError(f"{path}: '{category}' is no category. Categories: {', '.join(MEASURED)}.")
    for column in mapping.columns():
        if column not in names:
            raise InputError(f"{path}: there is no column '{column}'. {exist}")
    return mapping


def _told(names: list[str], first: list[dict[str, Any]]) -> dict[str, Any]:
    """What the column names tell without doubt."""
    low = {name.lower().strip(): name for name in reversed(names)}
    if low.keys() >= HATECHECK:
        ident = next((low[c] for c in ("case_id", "mhc_case_id", "id") if c in low), None)
        told = {"text": low["test_case"], "labels": {"hate": low["label_gold"]}, "functionality": low["functionality"], "id": ident}
        told |= {"groups": low.get("target_ident"), "cluster": low.get("templ_id"), "language": next((low[c] for c in LANGUAGE if c in low), None)}
        return {k: v for k, v in told.items() if v}
    told = {field: next((low[c] for c in known if c in low), None) for field, known in (("text", TEXT), ("language", LANGUAGE), ("groups", GROUPS))}
    told |= {name: low.get(name) for name in ("id", "functionality", "protected", "side", "source", "cluster")}
    labels = {c: low[c] for c in MEASURED if c in low}
    if not labels:
        column = next((low[c] for c in LABEL if c in low), None)
        labels = {"hate": column} if column else {}
    if len(names) == 2:  # text and label under other names: the one whose values are all spellings of labels is the label
        columns = [name for name in names if all(_meaning(row.get(name), "hate", {}) is not None for row in first)]
        if len(columns) == 1:
            labels = labels or {"hate": columns[0]}
            told["text"] = told["text"] or next(n for n in names if n not in labels.values())
    told["labels"] = labels
    return {k: v for k, v in told.items() if v}


def _from_yaml(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid YAML") from error
    known = list(Mapping.__dataclass_fields__)
    strange = [k for k in data if k not in known] if isinstance(data, dict) else ["(no mapping)"]
    if strange:
        raise InputError(f"{path}: {', '.join(map(str, strange))}: not a part of a mapping. Parts: {', '.join(known)}.")
    values = {str(k): _answer(path, v) for k, v in (data.pop("values", None) or {}).items()}
    return {**{k: v for k, v in data.items() if v}, "values": values}


def _answer(path: Path | str, value: Any) -> str:
    """YAML reads a bare yes, no and null as values of its own."""
    answer = "unknown" if value is None else {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
    if answer not in ("yes", "no", "unknown"):
        raise InputError(f"{path}: values: a label means yes, no or unknown, not '{answer}'")
    return answer


# --- posts -------------------------------------------------------------------------------------------------------------------------------------


def _fold(value: Any) -> str:
    return re.sub(r"[\s_-]+", " ", str(value)).strip().casefold()


def _meaning(value: Any, category: str, values: dict[str, str]) -> int | None:
    """1, 0, -1 for unknown; None: the spelling is not known."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return -1
    folded = _fold(value)
    if folded in values:
        return {"yes": 1, "no": 0, "unknown": -1}[values[folded]]
    if folded in YES or folded in OWN[category]:
        return 1
    if folded in NO or folded in OWN_NO.get(category, ()):
        return 0
    return -1 if folded in UNKNOWN else None


def _groups(value: Any) -> tuple[str, ...]:
    parts = value if isinstance(value, (list, tuple)) else re.split(r"[;|,]", str(value)) if value is not None else ()
    names = (str(part).strip() for part in parts)
    return tuple(dict.fromkeys(name for name in names if name and name.casefold() not in ("-", "_", "none", "null", "nan", "other")))


def _cell(row: dict[str, Any], column: str | None) -> str | None:
    value = row.get(column) if column else None
    return str(value).strip() or None if value is not None else None


def posts(path: Path, mapping: Mapping) -> Iterator[Post]:
    """The rows of a labelled file, in order; those that cannot be used carry `error`.

    Raises:
        InputError: at the first label that the mapping does not know.
    """
    for number, row in records(path):
        if isinstance(row, str):
            yield Post(str(number), number, error=f"{path.name}, row {number}: {row}")  # it goes into results: no directories of this machine
            continue
        labels = [-1] * len(MEASURED)
        for category, column in mapping.labels.items():
            meaning = _meaning(row.get(column), category, mapping.values)
            if meaning is None:
                raise InputError(_strange_label(path, number, column, row.get(column), category, mapping.values))
            labels[MEASURED.index(category)] = meaning
        text, ident = row.get(mapping.text), _cell(row, mapping.id) or str(number)
        error = None
        if text is None or (isinstance(text, str) and not text.strip()):
            error = "no text"
        elif not isinstance(text, str):
            error = f"the text is {type(text).__name__}, not a string"
        elif max(labels) < 0:
            error = "no label"
        if error:
            yield Post(ident, number, error=f"{path.name}, row {number}: {error}")
            continue
        language = mapping.language_is or _cell(row, mapping.language)
        facets = tuple(_cell(row, getattr(mapping, name)) for name in FACETS)
        yield Post(ident, number, text, language, tuple(labels), _groups(row.get(mapping.groups)) if mapping.groups else (), facets, _cell(row, mapping.cluster))


def _strange_label(path: Path, number: int, column: str, value: Any, category: str, values: dict[str, str]) -> str:
    shown = f"'{value}'" if re.fullmatch(r"[\w.+-]{1,20}", str(value)) else f"a value of {len(str(value))} characters"  # a longer one may be a text in the wrong column
    yes = [*sorted(YES | OWN[category]), *(k for k, v in values.items() if v == "yes")]
    no = [*sorted(NO | OWN_NO.get(category, frozenset())), *(k for k, v in values.items() if v == "no")]
    return (
        f"{path}, row {number}, column '{column}': {shown} is no label that the mapping of '{category}' knows. Known as yes: {', '.join(yes)}; as no: {', '.join(no)}; "
        f"as unknown: an empty cell, {', '.join(sorted(UNKNOWN - {''}))}. Say what it means with --value LABEL=yes, =no or =unknown (as often as needed), "
        "or name another column with --label-column."
    )
