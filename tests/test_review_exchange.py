"""Files in and out: what is written comes back whole."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_review import KEY, PLAIN, Clock, restrict, say, submission

from ipu_moderation.errors import InputError
from ipu_moderation.review import exchange
from ipu_moderation.review.exchange import Copy, Record, Said
from ipu_moderation.review.queue import ReviewQueue
from ipu_moderation.review.store import Store
from ipu_moderation.taxonomy import Category
from ipu_moderation.types import Action, LabelledText

texts = st.text(max_size=60)
names = st.text(st.characters(blacklist_categories=("Cs", "Cc", "Zs", "Zl", "Zp")), min_size=1, max_size=12)
answers = st.dictionaries(st.sampled_from(list(Category)), st.sampled_from([True, False, None]), max_size=4)
times = st.datetimes().map(lambda t: t.isoformat() + "+00:00")


@st.composite
def records(draw: st.DrawFn) -> Record:
    copies = draw(
        st.lists(st.builds(Copy, names, texts, st.none() | names, st.none() | times, st.sampled_from(exchange.SOURCES)), min_size=1, max_size=3, unique_by=lambda c: c.id)
    )
    opinions = draw(st.lists(st.builds(Said, names, answers, st.booleans(), texts, st.none() | times), max_size=3, unique_by=lambda s: s.reviewer))
    return Record(
        draw(names), draw(st.sampled_from(["en", "hi-Latn", "und"])), tuple(copies), draw(st.sampled_from(list(Action))), draw(st.floats(0, 1)), draw(st.none() | st.sampled_from(list(Category))),
        tuple(draw(st.lists(texts, max_size=2))), draw(names), {"model": "fake@1"}, {"situation": "election"}, draw(st.none() | st.just(3600.0)), draw(st.none() | st.just({"scores": {}})), tuple(opinions),
    )  # fmt: skip


@given(st.lists(records(), max_size=3, unique_by=lambda r: r.item), st.sampled_from(["label-studio", "csv", "coop"]))
def test_any_record_comes_back_whole(tmp_path_factory, found, form):
    path = tmp_path_factory.mktemp("x") / ("f.csv" if form == "csv" else "f.json")
    if form == "csv":  # a spreadsheet has no way to tell an opinion without answers and note from none, but by its reviewer, which is there
        found = [replace(r, posts=r.posts) for r in found]
    assert exchange.write_records(found, path, form) == len(found)
    assert exchange.read_records(path) == found


@pytest.fixture
def queue(tmp_path: Path):
    with Store(str(tmp_path / "a.sqlite"), clock=Clock()) as store:
        yield ReviewQueue(store, KEY, PLAIN)


@pytest.mark.parametrize(("form", "name"), [("label-studio", "f.json"), ("csv", "f.csv"), ("coop", "f.json")])
def test_a_database_comes_back_whole(queue, tmp_path, form, name):
    message = "The cyclists of this town must leave it for good, all of them"
    restrict(queue, "p1", text=message, author="ann-marie")
    queue.submit_many([submission("p2", message + "!", author="bo"), submission("p3", "=1+1 is a formula"), submission("p4", action=Action.HOLD)])
    say(queue, queue.standing("p3").item, "ann", "allow", note="it is arithmetic")
    before = list(exchange.records(queue.store))
    exchange.write_records(before, tmp_path / name, form)
    with Store(str(tmp_path / "b.sqlite"), clock=Clock()) as other:
        done = exchange.import_records(ReviewQueue(other, KEY, PLAIN), exchange.read_records(tmp_path / name))
        assert (done.queued, done.allowed, done.verdicts, done.refused) == (4, 0, 3, ())
        after = list(exchange.records(other))

        def comparable(some):
            return sorted((replace(r, item="", opinions=tuple(replace(o, at=None) for o in r.opinions)) for r in some), key=lambda r: r.posts[0].id)

        assert comparable(after) == comparable(before)
        again = ReviewQueue(other, KEY, PLAIN)
        assert again.standing("p1").state == "restricted"
        assert exchange.import_records(again, exchange.read_records(tmp_path / name)).verdicts == 0  # nothing twice


def test_an_imported_restriction_needs_two_persons_too(queue):
    said = Said("ann", {Category.HATE: True}, True)
    exchange.import_records(queue, [Record("i", "en", (Copy("p", "words"),), opinions=(said,))])
    assert queue.standing("p").state == "allowed"
    exchange.import_records(queue, [Record("i", "en", (Copy("p", "words"),), opinions=(said, replace(said, reviewer="ben")))])
    assert queue.standing("p").state == "restricted"


def test_an_imported_opinion_takes_nothing_from_somebody(queue):
    queue.submit_many([submission("p", "words")])
    queue.claim("zoe", ["en"])
    done = exchange.import_records(queue, [Record("i", "en", (Copy("p", "words"),), opinions=(Said("ann", {Category.HATE: False}, False),))])
    assert done.verdicts == 0
    assert "somebody else holds it" in done.refused[0]


def test_a_file_that_label_studio_made(tmp_path):
    """Users as objects, plain tasks with nothing of ours, skipped annotations."""
    path = tmp_path / "f.json"
    choice = lambda name, value: {"from_name": name, "to_name": "text", "type": "choices", "value": {"choices": [value]}}  # noqa: E731
    path.write_text(json.dumps([{
        "id": 7, "data": {"text": "words", "language": "fr"},
        "annotations": [
            {"completed_by": {"id": 3, "email": "r3@parliament.example"}, "was_cancelled": False, "result": [choice("hate", "no"), choice("restrict", "no"), choice("unknown", "x")]},
            {"completed_by": 4, "was_cancelled": True, "result": []},
        ],
    }]))  # fmt: skip
    (record,) = exchange.read_records(path)
    assert (record.posts[0].id, record.posts[0].text, record.language) == ("7", "words", "fr")
    assert record.opinions == (Said("r3@parliament.example", {Category.HATE: False}, False),)


def test_a_report_that_coop_made(tmp_path):
    path = tmp_path / "f.json"
    path.write_text(json.dumps({
        "reporter": {"kind": "user", "typeId": "u", "id": "somebody"}, "reportedAt": "2026-01-01T00:00:00Z", "reportedForReason": {"policyId": "hate", "reason": "my neighbour Jo wrote it"},
        "reportedItem": {"id": "p9", "typeId": "post", "data": {"text": "words"}},
    }))  # fmt: skip
    (record,) = exchange.read_records(path)
    assert (record.posts[0].id, record.posts[0].source, record.category) == ("p9", "notice", Category.HATE)
    assert "Jo" not in repr(record.reasons)


def test_a_spreadsheet_that_somebody_filled_in(tmp_path):
    path = tmp_path / "f.csv"
    path.write_text("post,text,language,reviewer,restrict,hate\n1,words,en,ann,yes,yes\n1,words,en,ben,no,no\n2,other,fr,,,\n", encoding="utf-8-sig")
    one, two = exchange.read_records(path)
    assert [(s.reviewer, s.restrict) for s in one.opinions] == [("ann", True), ("ben", False)]
    assert (two.language, two.opinions) == ("fr", ())


@pytest.mark.parametrize("text", ["=cmd()", "+1", "-1", "@SUM(A1)", "\tx", "'already", "plain"])
def test_a_spreadsheet_runs_nothing(tmp_path, text):
    path = tmp_path / "f.csv"
    exchange.write_records([Record("i", "en", (Copy("p", text),))], path, "csv")
    assert not any(cell.startswith(("=", "+", "-", "@", "\t")) for row in path.read_text(encoding="utf-8").splitlines() for cell in row.replace('"', "").split(","))
    assert exchange.read_records(path)[0].posts[0].text == text


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_verdicts_become_training_data(queue, tmp_path, suffix):
    restrict(queue, "p1", text="cyclists must go")
    item = queue.submit_many([submission("p2", "left-handers write well")])[0]
    say(queue, item, "ann", "cannot tell")
    say(queue, item, "ben", "allow")
    queue.submit_many([submission("open", "nobody decided on this")])
    path = tmp_path / f"labels.{suffix}"
    assert exchange.write_labelled(exchange.labelled(queue.store), path) == 2
    found = exchange.read_labelled(path)
    assert {(f.text, f.labels[Category.HATE]) for f in found} == {("cyclists must go", True), ("left-handers write well", False)}
    assert all(isinstance(f, LabelledText) and f.source.startswith("review:") for f in found)


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("f.json", "{", "row 1: broken JSON"),
        ("f.jsonl", '{"id": "1"}', "row 1: there is no 'decision'"),
        ("f.csv", "a,b\n1,2\n", "no column 'text'"),
        ("f.json", '[{"data": {"text": 3, "id": 1}}]', "row 1"),
        ("f.json", "[3]", "row 1"),
        ("f.csv", "post,text,restrict,reviewer\n1,x,perhaps,ann\n", "row 1"),
    ],
)
def test_files_that_are_refused(tmp_path, name, content, match):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=match):
        exchange.read_records(tmp_path / name)


def test_writing_where_nothing_is(tmp_path):
    for write in (lambda p: exchange.write_records([], p, "csv"), lambda p: exchange.write_labelled([], p)):
        with pytest.raises(InputError, match="no such directory"):
            write(tmp_path / "none" / "f.jsonl")
    with pytest.raises(InputError, match="formats are"):
        exchange.write_records([], tmp_path / "f", "xml")


def test_the_label_studio_interface_names_every_category():
    config = exchange.label_studio_config()
    assert all(f'name="{c.value}"' in config for c in Category)
