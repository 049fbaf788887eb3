"""Files in, files out: every format, every way in which a row can be broken, and no half-written file."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import StandIn, held

from ipu_moderation import batch
from ipu_moderation.batch import Columns, Row, assess_rows, decide_rows, flat, read, run, write
from ipu_moderation.errors import InputError
from ipu_moderation.moderator import Moderator
from ipu_moderation.policy import load_policy

BOM = b"\xef\xbb\xbf"


def file(directory: Path, name: str, content: bytes | str) -> Path:
    data = content.encode("utf-8") if isinstance(content, str) else content
    path = directory / name
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def parquet(directory: Path, **columns: Any) -> Path:
    path = directory / "posts.parquet"
    pq.write_table(pa.table(columns), path, row_group_size=2)
    return path


def texts(path: Path, columns: Columns | None = None) -> list[str | None]:
    return [r.text for r in read(path, columns)]


# --------------------------------------------------------------------------------------------------------------- what can be read

FILES: list[tuple[str, bytes | str, list[str]]] = [
    ("a.csv", "id,text\n7,one\n8,two\n", ["one", "two"]),
    ("a.csv", "text\none\ntwo", ["one", "two"]),
    ("a.CSV", "text\none\ntwo\n", ["one", "two"]),
    ("a.csv.gz", "text\none\ntwo\n", ["one", "two"]),
    ("a.tsv", "id\ttext\n7\tone, or so\n8\ttwo\n", ["one, or so", "two"]),
    ("a.tsv.gz", "text\none\n", ["one"]),
    ("crlf.csv", "text,x\r\none,1\r\ntwo,2\r\n", ["one", "two"]),
    ("old-mac.csv", "text,x\rone,1\rtwo,2\r", ["one", "two"]),
    ("mark.csv", BOM + b"text,x\none,1\n", ["one"]),
    ("mark-and-quotes.csv", BOM + b'"text","x"\n"one","1"\n', ["one"]),
    ("quotes.csv", 'text,x\n"one\nand\r\nmore",1\n"say ""two""",2\n"a,b",3\n', ["one\nand\r\nmore", 'say "two"', "a,b"]),
    ("blank-lines.csv", "text\n\none\n\n\ntwo\n", ["one", "two"]),
    ("empty-cell.csv", "text,x\n,1\n", [""]),
    ("nul.csv", b"text,x\na\0b,1\n", ["a\ufffdb"]),
    ("huge.csv", f"text,x\n{'word ' * 60_000},1\nnext,2\n", ["word " * 60_000, "next"]),
    ("header-only.csv", "text,id\n", []),
    ("twice.csv", "text,text\none,two\n", ["two"]),
    ("a.jsonl", '{"text": "one"}\n{"text": "two", "id": 3}\n', ["one", "two"]),
    ("a.ndjson", '{"text": "one"}', ["one"]),
    ("a.jsonl.gz", '{"text": "one"}\n\n  \n{"text": "two"}\n', ["one", "two"]),
    ("mark.jsonl", BOM + b'{"text": "one"}\r\n{"text": "two"}\r\n', ["one", "two"]),
    ("escapes.jsonl", '{"text": "a\\u0000b \\ud83d\\ude00 \\ud800"}\n', ["a\0b 😀 \ud800"]),
    ("empty.jsonl", "", []),
    ("a.txt", "one\ntwo\n", ["one", "two"]),
    ("a.txt.gz", "one\r\ntwo", ["one", "two"]),
    ("blank-lines.txt", "one\n\ntwo\n", ["one", "", "two"]),
    ("mark.txt", BOM + b"one\n", ["one"]),
    ("separators.txt", "one\u2028still one\x0bstill\n", ["one\u2028still one\x0bstill"]),
    ("empty.txt", "", []),
]


@pytest.mark.parametrize(("name", "content", "expected"), FILES, ids=[f[0] for f in FILES])
def test_files_that_are_in_order(name: str, content: bytes | str, expected: list[str], tmp_path: Path) -> None:
    rows = list(read(file(tmp_path, name, content)))
    assert [r.text for r in rows] == expected
    assert [r.error for r in rows] == [None] * len(expected)
    assert [r.number for r in rows] == list(range(1, len(expected) + 1))


@pytest.mark.parametrize(
    "column", [pa.array(["one", None, "zwölf"]), pa.array(["one", None, "zwölf"], pa.large_string()), pa.array(["one", None, "zwölf"]).dictionary_encode(), pa.array([b"one", None, "zwölf".encode()])],
    ids=["string", "large_string", "dictionary", "binary"],
)  # fmt: skip
def test_parquet(column: Any, tmp_path: Path) -> None:
    rows = list(read(parquet(tmp_path, text=column, id=[5, 6, 7])))
    assert [(r.id, r.text) for r in rows] == [("5", "one"), ("6", None), ("7", "zwölf")]
    assert rows[1].error == f"{tmp_path / 'posts.parquet'}, row 2: no text"


def test_a_parquet_cell_that_is_no_utf8_costs_one_row(tmp_path: Path) -> None:
    cells = pa.array([b"one", b"caf\xe9", b"three"])
    bad = pa.Array.from_buffers(pa.string(), 3, cells.buffers())  # as other writers make them
    rows = list(read(parquet(tmp_path, text=bad)))
    assert [r.text for r in rows] == ["one", None, "three"]
    assert "row 2: not valid UTF-8" in str(rows[1].error)


@pytest.mark.parametrize(
    ("columns", "row"),
    [
        (Columns(), Row("a7", 1, "hello", None)),
        (Columns("body"), Row("a7", 1, "a body", None)),
        (Columns(id="n"), Row("3", 1, "hello", None)),
        (Columns(language="lang"), Row("a7", 1, "hello", "pt-BR")),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_columns_are_taken_by_name(columns: Columns, row: Row, kind: str, tmp_path: Path) -> None:
    record = {"id": "a7", "n": 3, "text": "hello", "body": "a body", "lang": "PT_br"}
    if kind == "parquet":
        path = parquet(tmp_path, **{k: [v] for k, v in record.items()})
    elif kind == "jsonl":
        path = file(tmp_path, "a.jsonl", json.dumps(record))
    else:
        tab = "\t" if kind == "tsv" else ","
        path = file(tmp_path, f"a.{kind}", tab.join(record) + "\n" + tab.join(map(str, record.values())))
    assert list(read(path, columns)) == [row]


def test_rows_without_an_id_are_numbered(tmp_path: Path) -> None:
    assert [r.id for r in read(file(tmp_path, "a.csv", "id,text\n,one\nx,two\n"))] == ["1", "x"]
    assert [r.id for r in read(file(tmp_path, "b.csv", "text\none\ntwo\n"))] == ["1", "2"]


@pytest.mark.parametrize(("content", "expected"), [("one\ntwo\n", ["one", "two"]), ('{"text": "one"}\n{"text": "two"}', ["one", "two"]), (' {"text": "one"}', ["one"]), ("", []), ("\ufeff{\"text\": \"one\"}", ["one"])])
def test_standard_input(content: str, expected: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
    assert texts(Path("-")) == expected


# ------------------------------------------------------------------------------------------------------------------- broken rows

BROKEN: list[tuple[str, bytes | str, list[str | None], list[str]]] = [
    # name, content, texts (None: an error), fragments of the errors in order
    ("latin1.csv", b"text,x\none,1\ncaf\xe9,2\nthree,3\n", ["one", None, "three"], ["row 2: not valid UTF-8. Convert the file, for example with: iconv"]),
    ("latin1-id.csv", b"id,text\ncaf\xe9,one\nb,two\n", [None, "two"], ["row 1: not valid UTF-8"]),
    ("ragged.csv", "text,x\none,1\ntwo\nthree,3,4\nfour,4\n", ["one", None, None, "four"], ["row 2 (line 3): 1 cells, the header has 2", "row 3 (line 4): 3 cells"]),
    ("stray-quote.csv", 'text,x\n"one" more,1\ntwo,2\n', [None, "two"], ["row 1 (line 2): not valid CSV"]),
    ("open-quote.csv", 'text,x\none,1\n"two,2\nthree,3\nfour,4\n', ["one", None, "three", "four"], ["row 2 (line 3): not valid CSV: unexpected end of data. Is there a quotation mark"]),
    ("open-quote-at-the-end.csv", 'text,x\none,1\n"two', ["one", None], ["row 2 (line 3): not valid CSV"]),
    ("no-text.jsonl", '{"text": "one"}\n{"id": 5}\n{"text": null}\n', ["one", None, None], ["row 2: no text", "row 3: no text"]),
    ("types.jsonl", '{"text": "one"}\n{"text": 5}\n{"text": ["x"]}\n{"text": true}\n', ["one", None, None, None], ["row 2: the text is int, not a string", "row 3: the text is list", "row 4: the text is bool"]),
    ("id.jsonl", '{"text": "one", "id": {"a": 1}}\n{"text": "two", "id": 1.5}\n', [None, "two"], ["row 1: the id is dict, not a string or number"]),
    ("broken.jsonl", '{"text": "one"}\n{"text": "two"\nnot json\n{"text": "four"}\n', ["one", None, None, "four"], ["row 2: broken JSON at column 15", "row 3: broken JSON at column 1"]),
    ("broken-first.jsonl", '{"text"\n{"text": "two"}\n', [None, "two"], ["row 1: broken JSON"]),
    ("no-object.jsonl", '{"text": "one"}\n"two"\n[3]\n4\nnull\n', ["one", None, None, None, None], ["this is str", "this is list", "this is int", "this is NoneType"]),
    ("deep.jsonl", '{"text": "one"}\n' + "[" * 200_000 + "\n", ["one", None], ["row 2: broken JSON"]),
    ("latin1.jsonl", b'{"text": "one"}\n{"text": "caf\xe9"}\n', ["one", None], ["row 2: not valid UTF-8"]),
    ("utf16.jsonl", '{"text": "one"}\n'.encode("utf-16"), [None, None], ["row 1: not valid UTF-8", "row 2: broken JSON"]),
    ("latin1.txt", b"one\ncaf\xe9\nthree\n", ["one", None, "three"], ["row 2: not valid UTF-8"]),
]


@pytest.mark.parametrize(("name", "content", "expected", "errors"), BROKEN, ids=[b[0] for b in BROKEN])
def test_a_broken_row_is_told_by_file_and_number_and_the_rest_is_read(name: str, content: bytes | str, expected: list[str | None], errors: list[str], tmp_path: Path) -> None:
    path = file(tmp_path, name, content)
    rows = list(read(path))
    assert [r.text for r in rows] == expected
    told = [str(r.error) for r in rows if r.text is None]
    for error, fragment in zip(told, errors, strict=True):
        assert error.startswith(f"{path}, row ")
        assert fragment in error


@pytest.mark.parametrize("row", ['{"text": "my secret", "lang": "my secret"}', '{"text": 7, "note": "my secret"}', '{"note": "my secret"', '{"text": "x", "id": ["my secret"]}', '{"text": "x", "lang": 5}'])
def test_no_error_holds_what_somebody_wrote(row: str, tmp_path: Path) -> None:
    [first, second] = read(file(tmp_path, "a.jsonl", '{"text": "one", "lang": "en"}\n' + row), Columns(language="lang"))
    assert first.language == "en"
    assert second.error
    assert "secret" not in repr(second)


def test_rows_do_not_show_their_text() -> None:
    assert "secret" not in repr(Row("1", 1, "my secret"))


@pytest.mark.parametrize(("name", "content", "expected", "errors"), BROKEN[:2], ids=["latin1.csv", "latin1-id.csv"])
def test_strict_stops_at_the_first(name: str, content: bytes, expected: object, errors: list[str], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"not valid UTF-8.*stopped here because of --strict"):
        list(read(file(tmp_path, name, content), strict=True))


def test_a_quotation_mark_that_is_never_closed_does_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "LONGEST_CELL", 0)
    previous = csv.field_size_limit(200)
    try:
        path = file(tmp_path, "a.csv", 'text,x\n"one,1\n' + "".join(f"post {i},{i}\n" for i in range(100)))
        rows = list(read(path))
    finally:
        csv.field_size_limit(previous)
    assert "field larger than field limit" in str(rows[0].error)
    assert [r.text for r in rows[1:]] == [f"post {i}" for i in range(100)]


# --------------------------------------------------------------------------------------------------------------- files that are refused

REFUSED: list[tuple[str, bytes | str, Columns, str]] = [
    ("a.csv", "", Columns(), "the file is empty; a header with the column names is expected"),
    ("a.csv", BOM, Columns(), "the file is empty"),
    ("a.csv", "id,comment,author\n1,x,y\n", Columns(), "there is no column 'text'. The columns are: id, comment, author. Name the right one with --text-column"),
    ("a.csv", "text,comment\nx,y\n", Columns(id="nr"), "there is no column 'nr'. The columns are: text, comment."),
    ("a.tsv", "text,comment\nx,y\n", Columns(), "there is no column 'text'. The columns are: text,comment."),
    ("a.jsonl", '{"body": "x"}\n', Columns(), "there is no column 'text'. The columns are: body."),
    ("a.jsonl", "broken\n{}\n", Columns(), "there is no column 'text'. The columns are: none."),
    ("a.jsonl", '{"text": "x"}\n', Columns(language="lang"), "there is no column 'lang'"),
    ("a.csv", f"{'a first post without a header ' * 9},x\n", Columns(), "a first post without a header a first po…, x."),
    ("a.csv", ",".join(f"c{i}" for i in range(80)), Columns(), "c49, …. Name"),
    ("a.csv", "text\none\n".encode("utf-16"), Columns(), "the header is not valid UTF-8. Convert the file, for example with: iconv -f UTF-16"),
    ("a.csv", '"text\n', Columns(), "the header is not valid CSV"),
    ("a.docx", "x", Columns(), "the format is told by the ending, and '.docx' is not one of .csv, .tsv, .jsonl, .ndjson, .parquet, .txt"),
    ("posts", "x", Columns(), "the format is told by the ending, and '' is not one of"),
    ("a.parquet.gz", "x", Columns(), "the format is told by the ending"),
    ("a.parquet", "no parquet", Columns(), "not a readable Parquet file"),
    ("a.parquet", "", Columns(), "not a readable Parquet file"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "columns", "message"), REFUSED)
def test_a_file_that_cannot_be_read_says_why(name: str, content: bytes | str, columns: Columns, message: str, tmp_path: Path) -> None:
    path = file(tmp_path, name, content)
    with pytest.raises(InputError) as caught:
        list(read(path, columns))
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_column_of_parquet_names_those_that_exist(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="The columns are: body, lang"):
        list(read(parquet(tmp_path, body=["x"], lang=["en"])))


@pytest.mark.parametrize("name", ["nowhere.csv", "nowhere.jsonl.gz", "nowhere.parquet", "nowhere/a.txt"])
def test_a_missing_file(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file or directory"):
        list(read(tmp_path / name))


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "posts.csv").mkdir()
    with pytest.raises(InputError, match="directory"):
        list(read(tmp_path / "posts.csv"))


@pytest.mark.parametrize("damage", [lambda d: d[:-9], lambda d: d[:40] + b"\xff" * 20 + d[60:], lambda d: b"text\nplain\n"], ids=["cut", "garbled", "not compressed"])
def test_a_damaged_gz(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(damage(gzip.compress(b"text\n" + b"".join(b"post %d\n" % i for i in range(999)))))
    with pytest.raises(InputError, match="the compressed file ends early or is damaged"):
        list(read(path))


def test_a_damaged_parquet_says_how_far_it_went(tmp_path: Path) -> None:
    path = parquet(tmp_path, text=[f"post {i}" * 50 for i in range(400)])
    data = bytearray(path.read_bytes())
    data[2000:4000] = bytes(2000)
    path.write_bytes(data)
    with pytest.raises(InputError, match="not a readable Parquet file"):
        list(read(path))


def test_reading_is_lazy(tmp_path: Path) -> None:
    rows = read(file(tmp_path, "a.jsonl", '{"text": "one"}\n' + "{" * 99))
    assert next(rows).text == "one"


# ----------------------------------------------------------------------------------------------------------------------- assessing

ISSUE_SHAPE = {  # what the row of a post holds for other programs; more may stand beside it
    "id": str, "language": {"code": str, "confidence": float}, "support": str, "scores": {"hate": float, "abuse": float, "violence": float, "incitement": float}, "targets": dict,
    "findings": [{"rule": str, "category": str, "effect": str, "start": int, "end": int}], "tier": str, "truncated": bool,
    "decision": {"action": str, "priority": float, "category": str, "reasons": list, "policy": str}, "versions": dict,
}  # fmt: skip


def holds(value: Any, shape: Any) -> bool:
    if isinstance(shape, dict):
        return isinstance(value, dict) and all(k in value and holds(value[k], s) for k, s in shape.items())
    if isinstance(shape, list):
        return isinstance(value, list) and len(value) > 0 and all(holds(v, shape[0]) for v in value)
    return type(value) is shape


def test_the_shape_of_a_row(moderator: Moderator) -> None:
    [row] = assess_rows([Row("x7", 1, "furious: cyclists must go")], moderator, load_policy("cautious"))
    row = json.loads(json.dumps(row))
    assert holds(row, ISSUE_SHAPE)
    assert set(row) == {*ISSUE_SHAPE, "support_by_score", "faults"}
    assert set(row["decision"]) == {"action", "priority", "category", "reasons", "policy", "expires_after_seconds"}
    assert set(row["findings"][0]) == {"rule", "category", "effect", "start", "end", "note", "excused_by"}
    assert len(row["targets"]) == 12
    assert row["id"] == "x7"


def some_rows(n: int) -> Iterator[Row]:
    for i in range(1, n + 1):
        yield Row(str(i), i, error=f"f.csv, row {i}: broken") if i % 9 == 4 else Row(str(i), i, f"post {i} {'cyclists must go' * (i % 5 == 0)}", "en" if i % 2 else None)


def test_rows_come_out_in_order_with_their_errors(moderator: Moderator) -> None:
    out = list(assess_rows(some_rows(1100), moderator, load_policy("cautious")))
    assert [r["id"] for r in out] == [str(i) for i in range(1, 1101)]
    assert [r["id"] for r in out if "error" in r] == [str(i) for i in range(1, 1101) if i % 9 == 4]
    assert out[3] == {"id": "4", "error": "f.csv, row 4: broken"}


def test_without_a_policy_there_is_no_decision_and_without_asking_no_text(moderator: Moderator) -> None:
    rows = [Row("1", 1, "calm")]
    assert "decision" not in next(assess_rows(rows, moderator, None))
    assert "text" not in next(assess_rows(rows, moderator, None))
    assert next(assess_rows(rows, moderator, None, show_text=True))["text"] == "calm"


def test_two_processes_give_what_one_gives(moderator: Moderator) -> None:
    one, two = (list(assess_rows(some_rows(1100), moderator, load_policy("cautious"), workers=n)) for n in (1, 2))
    assert one == two


def test_a_fault_counts_as_incomplete() -> None:
    assert batch.incomplete({"id": "1", "error": "x"})
    assert batch.incomplete({"faults": ["classifier: RuntimeError"]})
    assert not batch.incomplete({"faults": []})


# ------------------------------------------------------------------------------------------------------------------------ writing


@pytest.fixture
def out_rows(moderator: Moderator) -> list[dict[str, Any]]:
    posts = [Row("1", 1, "furious: cyclists must go"), Row("2", 2, error="f, row 2: no text"), Row("ü\ud800", 3, 'calm "quoted",\nsecond line \ud800'), Row("4", 4, "x")]
    return list(assess_rows(posts, moderator, load_policy("cautious"), show_text=True))


def back(path: Path) -> list[dict[str, Any]]:
    kind = path.name.removesuffix(".gz").rsplit(".", 1)[1]
    if kind == "parquet":
        return pq.read_table(path).to_pylist()
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    lines = data.decode("utf-8").splitlines(keepends=True)
    return [json.loads(x) for x in lines] if kind in ("jsonl", "ndjson") else list(csv.DictReader(io.StringIO(data.decode("utf-8"), newline=""), delimiter="\t" if kind == "tsv" else ","))


@pytest.mark.parametrize("name", ["out.jsonl", "out.ndjson", "out.jsonl.gz"])
def test_json_rows_come_back_whole(name: str, out_rows: list[dict[str, Any]], tmp_path: Path) -> None:
    with write(tmp_path / name, show_text=True) as writer:
        for row in out_rows:
            writer(row)
    assert back(tmp_path / name) == out_rows
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("show_text", [False, True])
@pytest.mark.parametrize("name", ["out.csv", "out.tsv", "out.csv.gz", "out.parquet"])
def test_tables_hold_a_flat_record(name: str, show_text: bool, out_rows: list[dict[str, Any]], tmp_path: Path) -> None:
    with write(tmp_path / name, show_text=show_text) as writer:
        for row in out_rows:
            writer(row)
    first, second, third, _ = back(tmp_path / name)
    assert list(first) == [*batch.FLAT, *(["text"] if show_text else [])]
    assert (first["id"], first["action"], float(first["hate"]), first["policy"]) == ("1", "hold", 0.97, "cautious@1")
    assert json.loads(first["findings"])[0]["rule"] == "stand-in/cyclists-must-go"
    assert json.loads(first["versions"])["model"] == "stand-in@1"
    assert second["error"] == "f, row 2: no text"
    assert second["hate"] in (None, "")  # unknown, not 0
    assert third["id"] == "ü?"  # what UTF-8 cannot hold
    if show_text:
        assert third["text"] == 'calm "quoted",\nsecond line ?'


def test_the_likeliest_group_is_told_where_hate_is_likely(out_rows: list[dict[str, Any]]) -> None:
    assert flat(out_rows[0])["target"] in out_rows[0]["targets"]
    assert flat(out_rows[2])["target"] is None


def test_faults_are_in_the_flat_record(out_rows: list[dict[str, Any]]) -> None:
    assert flat({**out_rows[0], "faults": ["rules: MemoryError", "classifier: OSError"]})["faults"] == "rules: MemoryError; classifier: OSError"


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv", "out.jsonl.gz", "out.parquet"])
@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_interruption_leaves_nothing_behind_and_the_old_file_as_it_was(name: str, failure: type[BaseException], out_rows: list[dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"old")
    with pytest.raises(failure), write(tmp_path / name) as writer:
        writer(out_rows[0])
        assert (tmp_path / f".{name}.part").exists()
        raise failure
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [(name, b"old")]


@pytest.mark.parametrize(
    ("name", "message"),
    [("out.txt", "results are written as .jsonl, .csv, .tsv or .parquet"), ("out.xlsx", "the format is told by the ending"), ("out", "the format is told by the ending"),
     ("nowhere/out.csv", "cannot be written: No such file or directory"), ("folder.csv", "this is a directory")],
)  # fmt: skip
def test_an_output_that_cannot_be_made_is_told_before_any_work(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match=message), write(tmp_path / name):
        pytest.fail("work began")


# ------------------------------------------------------------------------------------------------------------------- from end to end


def test_a_file_goes_through(moderator: Moderator, tmp_path: Path) -> None:
    source = file(tmp_path, "in.csv", "id,text\n1,calm\n2\n3,furious: cyclists must go\n")
    seen: list[str] = []
    assert run(source, tmp_path / "out.jsonl", moderator, load_policy("cautious"), seen=lambda row: seen.append(row["id"])) == 1
    rows = back(tmp_path / "out.jsonl")
    assert [r["id"] for r in rows] == seen == ["1", "2", "3"]
    assert rows[1] == {"id": "2", "error": f"{source}, row 2 (line 3): 1 cells, the header has 2. Is a quotation mark missing?"}
    assert [r["decision"]["action"] for r in rows if "error" not in r] == ["allow", "hold"]


def test_strict_writes_nothing(moderator: Moderator, tmp_path: Path) -> None:
    source = file(tmp_path, "in.csv", "text,x\none,1\ntwo\n")
    with pytest.raises(InputError, match="--strict"):
        run(source, tmp_path / "out.jsonl", moderator, None, strict=True)
    assert [p.name for p in tmp_path.iterdir()] == ["in.csv"]


@pytest.mark.parametrize("name", ["in.csv", "./in.csv", "../{}/in.csv"])
def test_a_file_is_never_written_over_itself(name: str, moderator: Moderator, tmp_path: Path) -> None:
    source = file(tmp_path, "in.csv", "text\none\n")
    with pytest.raises(InputError, match="name another file with -o"):
        run(source, tmp_path / name.format(tmp_path.name), moderator, None)
    assert source.read_text() == "text\none\n"


def test_memory_does_not_grow_with_the_file(moderator: Moderator, tmp_path: Path) -> None:
    """What is read and not yet written is bounded: by what `assess_rows` and the reader of the file take ahead."""
    written = 0
    ahead: list[int] = []

    def rows() -> Iterator[Row]:
        for i in range(1, 3000):
            ahead.append(i - written)
            yield Row(str(i), i, "calm")

    for _ in assess_rows(rows(), moderator, None):
        written += 1
    assert max(ahead) <= batch.CHUNK


# ----------------------------------------------------------------------------------------------------------------- saved assessments


def saved(moderator: Moderator, directory: Path) -> Path:
    run(file(directory, "in.csv", "text,x\ncalm,1\nbroken\nfurious: cyclists must go,3\nfurious,4\nsome other post,5\n"), directory / "saved.jsonl", moderator, load_policy("cautious"), show_text=True)
    return directory / "saved.jsonl"


@pytest.mark.parametrize("name", ["cautious", "balanced", "review-only"])
def test_deciding_later_is_deciding_at_once(name: str, moderator: Moderator, tmp_path: Path) -> None:
    policy, path = load_policy(name), saved(moderator, tmp_path)
    at_once = assess_rows(read(tmp_path / "in.csv"), moderator, policy)
    assert list(decide_rows(path, policy)) == list(at_once)


def test_deciding_shows_the_text_only_when_asked(moderator: Moderator, tmp_path: Path) -> None:
    path = saved(moderator, tmp_path)
    assert not any("text" in r for r in decide_rows(path, load_policy("balanced")))
    assert next(decide_rows(path, load_policy("balanced"), show_text=True))["text"] == "calm"


@pytest.mark.parametrize(
    ("line", "error"),
    [("{}", "row 1: not an assessment; make one with: ipu-moderation assess INPUT -o FILE.jsonl"), ('{"text": "my secret"}', "row 1: not an assessment"), ("secret", "row 1: broken JSON at column 1"),
     ("[1]", "row 1: a JSON object is expected, this is list"), (json.dumps({**held().to_dict(), "scores": {"hate": 7}}), "row 1: not an assessment")],
)  # fmt: skip
def test_a_row_that_is_no_assessment(line: str, error: str, tmp_path: Path) -> None:
    [row] = decide_rows(file(tmp_path, "saved.jsonl", line + "\n"), load_policy("cautious"))
    assert error in row["error"]
    assert "secret" not in json.dumps(row)


@pytest.mark.parametrize("name", ["saved.csv", "saved.parquet", "saved.txt"])
def test_assessments_are_read_from_jsonl(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a .jsonl file is expected, as it is made by"):
        list(decide_rows(file(tmp_path, name, "x"), load_policy("cautious")))


def test_a_stand_in_is_a_classifier() -> None:
    from ipu_moderation.classifiers import Classifier

    assert isinstance(StandIn(), Classifier)
