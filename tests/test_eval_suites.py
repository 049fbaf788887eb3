"""Suites: the same posts every time, faults all at once, and the committed ones in order."""

from __future__ import annotations

from pathlib import Path

import pytest

from eval.data import open_data
from eval.suites import SUITES, expand, main, read_suite, suite_files
from ipu_moderation.errors import InputError
from training.labelled import FACETS, MEASURED

SUITE = """
language: xx
reviewed_by: none
slots:
  group:
    - {target: profession, pl: cyclists, sg: cyclist}
    - {target: disability, pl: left-handers, sg: left-hander}
    - {target: age, pl: pensioners}
  place: [the market, the station]
tests:
  - functionality: exclusion_h
    expect: {hate: true, violence: false}
    why: "they are to go"
    templates: ["{pl} must leave {place}.", "No {sg} at {place}!"]
  - functionality: journalism_nh
    expect: {hate: false, defamation_risk: false}
    protected: journalism
    why: "a report"
    templates: ["The paper wrote about {place}.", "Nothing happened today."]
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    path = tmp_path / "xx.yaml"
    path.write_text(SUITE, encoding="utf-8")
    return path


def test_expansion_is_the_same_every_time(suite: Path) -> None:
    first, again = list(expand(suite)), list(expand(suite))
    assert first == again
    texts = [p.text for p in first]
    assert len(set(texts)) == len(texts)
    by = {t: [p for p in first if p.facets[0] == t] for t in ("exclusion_h", "journalism_nh")}
    assert len(by["exclusion_h"]) == 3 + 2  # three terms have a plural, two a singular
    assert any(p.text.startswith("Pensioners must leave the ") for p in first)
    assert all(p.labels[MEASURED.index("hate")] == 1 and p.labels[MEASURED.index("abuse")] == -1 for p in by["exclusion_h"])
    assert all(p.facets[FACETS.index("protected")] == "journalism" for p in by["journalism_nh"])
    assert len({p.cluster for p in first}) == 4
    assert {p.language for p in first} == {"xx"}


def test_fills_are_capped(suite: Path) -> None:
    assert len([p for p in expand(suite, fills=1) if p.facets[0] == "exclusion_h"]) == 2


def test_a_directory_or_a_file_is_data(suite: Path) -> None:
    data = open_data(suite.parent)
    assert data.survey().usable == len(list(expand(suite)))
    assert data.mapping["languages"] == ["xx"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("language: xx", "language: yy", "language: yy does not fit the file name"),
        ("{sg} at", "{dual} at", "no entry of slots has dual"),
        ("target: age", "target: cyclists", "unknown target 'cyclists'; targets: age"),
        ("{hate: true, violence: false}", "{hatred: true}", "hatred: no category"),
        ("Nothing happened today.", "The paper wrote about {place}.", "a template stands in"),
        ("Nothing happened today.", "Nothing {happened today.", "a brace without its fellow"),
        ("hate: false, defamation", "hate: true, defamation", "ends in _nh expects hate: false"),
        ("why: \"a report\"", "because: x", "tests.1.why"),
        ("slots:", "slots: [", "not valid YAML at line"),
    ],
)
def test_faults_are_named_without_sentences(suite: Path, old: str, new: str, message: str) -> None:
    suite.write_text(SUITE.replace(old, new), encoding="utf-8")
    with pytest.raises(InputError, match=message) as caught:
        read_suite(suite)
    assert "must leave" not in str(caught.value)


def test_all_faults_come_at_once(suite: Path) -> None:
    suite.write_text(SUITE.replace("language: xx", "language: yy").replace("{sg} at", "{dual} at"), encoding="utf-8")
    with pytest.raises(InputError, match="2 faults"):
        read_suite(suite)
    assert main([str(suite)]) == 1


def test_an_empty_directory_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no suites"):
        suite_files(tmp_path)


@pytest.mark.parametrize("path", sorted(SUITES.glob("*.yaml")), ids=lambda p: p.stem)
def test_committed_suites_are_in_order(path: Path) -> None:
    suite = read_suite(path)
    posts = list(expand(path))
    hate = [p.labels[0] for p in posts if p.labels[0] >= 0]
    assert suite.reviewed_by
    assert 0.2 < sum(hate) / len(hate) < 0.8
    assert any(p.facets[FACETS.index("protected")] for p in posts)


def test_no_suite_sentence_is_trained_on() -> None:
    """What is trained on cannot be measured with."""
    import yaml

    templates = SUITES.parent.parent / "training" / "templates"
    for path in sorted(SUITES.glob("*.yaml")):
        trained = templates / path.name
        if not trained.is_file():
            continue
        frames = {e if isinstance(e, str) else e["text"] for kind in yaml.safe_load(trained.read_text(encoding="utf-8"))["frames"].values() for e in kind}
        mine = [t for test in read_suite(path).tests for t in test.templates]
        shared = [i for i, t in enumerate(mine) if t in frames]
        assert not shared, f"{path.name}: {len(shared)} templates stand in training/templates too"
