"""The audit trail: whatever is changed, it shows; and anybody can check it."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from test_review import KEY, PLAIN, Clock, restrict, say, submission

from ipu_moderation.errors import InputError
from ipu_moderation.review import audit
from ipu_moderation.review.queue import ReviewQueue
from ipu_moderation.review.store import Store

DOCS = Path(__file__).parents[1] / "docs" / "ombudsperson.md"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with restrictions, an allowance, an appeal and notes."""
    path = tmp_path_factory.mktemp("audit") / "review.sqlite"
    with Store(str(path), clock=Clock()) as store:
        queue = ReviewQueue(store, KEY, PLAIN)
        for i in range(3):
            restrict(queue, f"p{i}")
        say(queue, queue.submit_many([submission("fine")])[0], "ann", "allow", note="a private note")
        item = queue.appeal("p1", "author", "It was a quotation.")
        say(queue, item, "cid", "allow")
    return path


@pytest.fixture
def chain(database: Path) -> list[audit.AuditEntry]:
    with Store(str(database)) as store, store.read() as connection:
        return list(audit.entries(connection))


def test_an_honest_chain_verifies(chain):
    found = audit.verify_chain(chain)
    assert found.sound
    assert found.entries == len(chain) > 20
    assert audit.verify_chain(chain, found.head).sound
    assert audit.verify_chain(chain, f"5:{chain[4].hash}").sound
    assert audit.verify_chain([]).sound


@pytest.mark.parametrize(
    ("tamper", "match"),
    [
        (lambda c: [*c[:4], replace(c[4], actor="somebody else"), *c[5:]], r"entry 5 .* was changed"),
        (lambda c: [*c[:4], replace(c[4], body={**c[4].body, "extra": 1}), *c[5:]], r"entry 5 .* was changed"),
        (lambda c: [*c[:4], replace(c[4], at="2020-01-01"), *c[5:]], r"entry 5 .* was changed"),
        (lambda c: [*c[:4], *c[5:]], r"5 to 5 are missing"),
        (lambda c: [*c[:4], *c[8:]], r"5 to 8 are missing"),
        (lambda c: c[1:], r"1 to 1 are missing"),
        (lambda c: [*c[:4], c[5], c[4], *c[6:]], r"entry 6 stands where 5 is expected"),
        (lambda c: [*c[:5], c[4], *c[5:]], r"entry 5 stands where 6 is expected \(another order\)"),
        (lambda c: [*c[:4], replace(c[5], seq=5), *c[6:]], r"entry 5 .* does not follow"),
    ],
)
def test_the_first_fault_is_named(chain, tamper, match):
    found = audit.verify_chain(tamper(chain))
    assert len(found.faults) == 1
    assert re.search(match, found.faults[0])


def _computed_anew(chain, first):
    """What somebody with the database's password could do: change an entry and compute all hashes after it."""
    out, previous = [], audit.START
    for entry in chain:
        body = {**entry.body, "reasons": ["another reason"]} if entry.seq == first else entry.body
        changed = replace(entry, body=body, previous=previous)
        changed = replace(changed, hash=audit.link(previous, {name: getattr(changed, name) for name in ("seq", "at", "kind", "item", "actor", "body")}))
        out.append(changed)
        previous = changed.hash
    return out


@pytest.mark.parametrize(("first", "anchor_at", "sound"), [(3, 10, False), (10, 10, False), (11, 10, True)])
def test_an_anchor_shows_a_chain_that_was_computed_anew(chain, first, anchor_at, sound):
    forged = _computed_anew(chain, first)
    assert audit.verify_chain(forged).sound
    assert audit.verify_chain(forged, f"{anchor_at}:{chain[anchor_at - 1].hash}").sound == sound


def test_an_anchor_shows_a_cut_end(chain):
    head = audit.verify_chain(chain).head
    assert audit.verify_chain(chain[:-2]).sound
    assert "its end was cut off" in audit.verify_chain(chain[:-2], head).faults[0]
    with pytest.raises(InputError, match="SEQ:HASH"):
        audit.verify_chain(chain, "nonsense")


@pytest.mark.parametrize(
    ("statement", "match"),
    [
        ("UPDATE items SET outcome = 'allowed' WHERE outcome = 'restricted'", "outcome"),
        ("UPDATE verdicts SET restrict = 0 WHERE id = 1", "verdict of ann is not the one"),
        ('UPDATE verdicts SET labels = \'{"abuse":"yes"}\' WHERE id = 1', "verdict of ann is not the one"),
        ("UPDATE verdicts SET note = x'00' WHERE note IS NOT NULL", "note of ann was changed"),
        ("DELETE FROM verdicts WHERE id = 1", "verdict of ann stands in the chain and is gone"),
        ("INSERT INTO verdicts (item, round, reviewer, labels, restrict, at) SELECT item, 0, 'zed', '{}', 0, 0 FROM verdicts LIMIT 1", "verdict of zed is not in the chain"),
        ("UPDATE posts SET text = x'00' WHERE external = 'p1'", "its text is not the one that came in"),
        ("UPDATE posts SET digest = 'f' WHERE external = 'p1'", "its text is not the one that came in"),
        ("UPDATE appeals SET result = 'upheld'", "the appeal about post"),
        ("DELETE FROM appeals", "the appeal about post"),
        ("UPDATE audit SET actor = 'zed' WHERE seq = 3", "entry 3"),
        ("DELETE FROM audit WHERE seq = 3", "3 to 3 are missing"),
        ("UPDATE audit SET body = 'nonsense' WHERE seq = 3", "entry 3"),
    ],
)
def test_tables_that_say_other_than_the_chain(database, tmp_path, statement, match):
    """Somebody with the password takes the triggers away first."""
    copy = tmp_path / "copy.sqlite"
    copy.write_bytes(database.read_bytes())
    with Store(str(copy)) as store:
        with store.read() as connection:
            assert audit.verify(connection).sound
        with store.write() as work:
            for row in work.execute(sa.text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all():
                work.execute(sa.text(f"DROP TRIGGER {row.name}"))
            work.connection.exec_driver_sql(statement)
        with store.read() as connection:
            found = audit.verify(connection)
    assert not found.sound
    assert match in found.faults[0]


def test_export_round_trip(chain, tmp_path):
    path = tmp_path / "trail.jsonl"
    assert audit.write_trail(chain, path) == len(chain)
    assert list(audit.read_trail(path)) == chain
    path.write_text(path.read_text().replace('"kind":"claimed"', '"kind":"released"', 1))
    assert "was changed" in audit.verify_chain(audit.read_trail(path)).faults[0]
    path.write_text("{}\n")
    with pytest.raises(InputError, match="row 1"):
        list(audit.read_trail(path))


def test_the_script_in_the_docs_verifies_without_this_package(chain, tmp_path):
    script = re.search(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)[1]
    assert "ipu_moderation" not in script
    path = tmp_path / "trail.jsonl"
    audit.write_trail(chain, path)
    (tmp_path / "check.py").write_text(script)
    done = subprocess.run([sys.executable, "check.py", "trail.jsonl"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert audit.verify_chain(chain).head in done.stdout
    path.write_text(path.read_text().replace('"actor":"ben"', '"actor":"bob"', 1))
    assert subprocess.run([sys.executable, "check.py", "trail.jsonl"], cwd=tmp_path, capture_output=True, check=False).returncode != 0


def test_canonical_json_has_one_form():
    assert audit.canonical({"b": 1, "a": "é"}) == '{"a":"é","b":1}'
    entry = {"seq": 1, "at": "t", "kind": "k", "item": "i", "actor": "a", "body": {}}
    by_hand = hashlib.sha256(f"{'0' * 64}\n".encode() + json.dumps(entry, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    assert audit.link(audit.START, entry) == by_hand
