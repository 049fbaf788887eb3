"""Labelled files: what is told by columns alone, what a label may be, and errors that name the row and hold no text."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from eval.data import open_data
from ipu_moderation.errors import InputError
from training.labelled import MEASURED, Mapping, posts

HATE, ABUSE = MEASURED.index("hate"), MEASURED.index("abuse")
SECRET = "bicycle-bell-at-dawn"
"""Stands in texts; must never stand in a message."""


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def rows(path: Path, **flags: object) -> list:
    return list(open_data(path, flags=flags))


# --- files that need no flags ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("yes", "no"),
    [("1", "0"), ("yes", "no"), ("hate", "none"), ("hateful", "non-hateful"), ("True", "False"), ("HS", "NOT"), ("1.0", "0.0"), ("hateful", "normal"), ("Hate_Speech", "not_hate")],
)
def test_two_columns_need_no_flags(tmp_path: Path, yes: str, no: str) -> None:
    found = rows(write(tmp_path / "a.csv", f"text,label\nhello,{no}\ngo away,{yes}\n"))
    assert [(p.text, p.labels[HATE]) for p in found] == [("hello", 0), ("go away", 1)]


@pytest.mark.parametrize("header", ["tweet,class", "comment;is_hate", "body\thateful", "what was written,verdict"])
def test_two_columns_under_other_names(tmp_path: Path, header: str) -> None:
    mark = next(c for c in ";\t," if c in header)
    found = rows(write(tmp_path / "a.csv", f"{header}\nhello{mark}0\ngo away{mark}1\n"))
    assert [p.labels[HATE] for p in found] == [0, 1]
    assert [p.text for p in found] == ["hello", "go away"]


def test_hatecheck_form_is_told_by_its_columns(tmp_path: Path) -> None:
    path = write(
        tmp_path / "cases.csv",
        "functionality,case_id,test_case,label_gold,target_ident,templ_id\nident_pos_nh,7,Cyclists are kind.,non-hateful,cyclists,3\nthreat_dir_h,8,Out with cyclists!,hateful,cyclists,4\n",
    )
    data = open_data(path)
    first, second = data
    assert (first.id, first.text, first.labels[HATE], first.groups, first.facets[0], first.cluster) == ("7", "Cyclists are kind.", 0, ("cyclists",), "ident_pos_nh", "3")
    assert second.labels[HATE] == 1
    assert data.mapping["labels"] == {"hate": "label_gold"}


def test_category_columns_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = {"text": ["a b", "c d"], "language": ["de", None], "hate": [1, None], "abuse": [1, 0], "groups": [["religion", "gender"], []]}
    pq.write_table(pa.table(table), path)
    first, second = rows(path)
    assert (first.labels[HATE], first.labels[ABUSE], first.language, first.groups) == (1, 1, "de", ("religion", "gender"))
    assert (second.labels[HATE], second.labels[ABUSE], second.language) == (-1, 0, None)


def test_jsonl_and_gzip(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    with gzip.open(path, "wt", encoding="utf-8") as stream:
        stream.write(json.dumps({"text": "hello", "label": False}) + "\n\n" + json.dumps({"text": "away", "label": True}) + "\n")
    assert [p.labels[HATE] for p in rows(path)] == [0, 1]


# --- mappings ------------------------------------------------------------------------------------------------------------------------------------


def test_flags_and_yaml_map_columns_and_labels(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "body,a,b\nhello,NOT,UNSURE\naway,OFF,HOF\n")
    mapping = write(tmp_path / "m.yaml", 'text: body\nlabels: {abuse: a, hate: b}\nvalues: {"HOF": yes, "UNSURE": unknown}\nlanguage_is: pt\n')
    first, second = open_data(path, given=mapping)
    assert (first.labels[ABUSE], first.labels[HATE], first.language) == (0, -1, "pt")
    assert (second.labels[ABUSE], second.labels[HATE]) == (1, 1)
    flags = {"text": "body", "labels": {"hate": "b"}, "values": {"hof": "yes", "unsure": "no"}}
    assert [p.labels[HATE] for p in open_data(path, flags=flags)] == [0, 1]


def test_yaml_with_an_unknown_part_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,label\nhello,0\n")
    with pytest.raises(InputError, match=r"m\.yaml: texts: not a part of a mapping. Parts: text, labels"):
        open_data(path, given=write(tmp_path / "m.yaml", "texts: body\n"))


# --- what can be wrong -----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", f"text,label\n{SECRET},0\n{SECRET},maybe\n", r"a\.csv, row 2, column 'label': 'maybe' is no label that the mapping of 'hate' knows.*--value LABEL=yes"),
        ("a.csv", f"text,label\n{SECRET},offensive\n", "'offensive' is no label that the mapping of 'hate' knows"),
        ("a.csv", f"note,label\n{SECRET},{SECRET} or other\n", "no column is known to hold the text. The columns are: note, label. Name it with --text-column"),
        ("a.csv", f"text,note\n{SECRET},{SECRET}\n", "no column is known to hold labels. The columns are: text, note. Name one with --label-column"),
        ("a.csv", f"{SECRET},0\n{SECRET},1\n", "the first line looks like data, not like column names"),
        ("a.csv", "", "0 rows: the file is empty"),
        ("a.csv", "text,label\n", "0 rows of data that can be read"),
        ("a.jsonl", "", "0 rows: the file is empty"),
        ("a.parquet", "no parquet", "not a readable Parquet file"),
        ("a.txt", "x", "labelled data is read from .csv"),
    ],
)
def test_errors_say_what_helps_and_hold_no_text(tmp_path: Path, name: str, content: str, message: str) -> None:
    path = write(tmp_path / name, content)
    with pytest.raises(InputError, match=message) as caught:
        open_data(path).survey()
    assert SECRET not in str(caught.value)
    assert str(path) in str(caught.value) or path.name in str(caught.value)


def test_a_text_mapped_as_label_is_not_shown(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", f"text,label\nhello,{SECRET} and more words\n")
    with pytest.raises(InputError, match="a value of 35 characters") as caught:
        open_data(path).survey()
    assert SECRET not in str(caught.value)


def test_missing_column_names_those_that_exist(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,label\nhello,0\n")
    with pytest.raises(InputError, match=r"there is no column 'body'. The columns are: text, label"):
        open_data(path, flags={"text": "body"})
    with pytest.raises(InputError, match="'hatred' is no category. Categories: hate, abuse"):
        open_data(path, flags={"labels": {"hatred": "label"}})
    with pytest.raises(InputError, match="no such file"):
        open_data(tmp_path / "b.csv")


def test_rows_that_cannot_be_used_are_counted_and_said(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'id,text,label\n1,hello,0\n2,,1\n3,away,\n4,"two,1\n5,caf\xe9,1\n')
    seen = open_data(path).survey()
    assert (seen.rows, seen.usable) == (4, 1)
    assert seen.unreadable[0].endswith("row 2: no text")
    assert seen.unreadable[1].endswith("row 3: no label")
    assert "cells" in seen.unreadable[2] or "CSV" in seen.unreadable[2]
    assert "3 of 4 rows cannot be used" in seen.warnings()[0]


def test_bad_utf8_is_one_row_and_not_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"text,label\ncaf\xe9,1\nhello,0\n")
    first, second = rows(path)
    assert first.error
    assert "UTF-8" in first.error
    assert second.text == "hello"


def test_duplicates_and_one_class_are_marked(tmp_path: Path) -> None:
    seen = open_data(write(tmp_path / "a.csv", "id,text,label\n1,hello,0\n2,good day,0\n1,good night,0\n")).survey()
    assert (seen.duplicates, seen.duplicate_rows) == (1, (3,))
    said = " ".join(seen.warnings())
    assert "1 rows repeat an id" in said
    assert "hate: no row is labelled yes" in said


def test_no_usable_row_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"0 rows can be used of 2. The first: .*row 1: no label"):
        open_data(write(tmp_path / "a.csv", "text,label\nhello,\nbye,\n")).survey()


def test_posts_do_not_show_their_text(tmp_path: Path) -> None:
    post = rows(write(tmp_path / "a.csv", f"text,label\n{SECRET},0\n"))[0]
    assert SECRET not in repr(post)


def test_mapping_columns_are_all_named() -> None:
    mapping = Mapping(text="t", labels={"hate": "h", "abuse": "h"}, id="i", side="s")
    assert mapping.columns() == ["t", "i", "s", "h"]
    assert list(posts.__annotations__) == ["path", "mapping", "return"]
