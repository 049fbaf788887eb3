"""Generated tables: what stands in the documents is what the results say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eval import tables
from eval.run import FORMAT
from ipu_moderation.errors import InputError

FIGURE = {"value": 0.8, "low": 0.7, "high": 0.9, "n": 90, "interval": "bootstrap"}
UNKNOWN = {"value": None, "n": 3, "note": "needs rows of both classes"}


def figures(**changed: dict) -> dict:
    from eval.metrics import FIGURES

    return {**dict.fromkeys(FIGURES, FIGURE), **changed}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "results").mkdir()
    (tmp_path / "model").mkdir()
    (tmp_path / "docs").mkdir()
    cohort = {"data": {"usable": 90, "sha256": "0"}, "mapping": {}, "threshold_policy": "fixed at 0.5", "policy": "cautious@1", "date": "2026-01-01"}
    model = {"model": "compact@1", "versions": {"weights": "aaaa"}}
    language = {"en": {"hate": figures()}, "fr": {"hate": figures(auc=UNKNOWN, macro_f1={**FIGURE, "note": "few rows of a class"})}}
    results = {"format": FORMAT, "cohort": {**cohort, "model": model}, "overall": {"hate": figures()}, "language": language}
    (tmp_path / "results" / "suites.json").write_text(json.dumps(results), encoding="utf-8")
    (tmp_path / "model" / "manifest.json").write_text(json.dumps({"files": {"model.onnx": "aaaa"}}), encoding="utf-8")
    (tmp_path / "README.md").write_text("# X\n\n<!-- table:suites -->\n<!-- /table -->\n\nEnd.\n", encoding="utf-8")
    return tmp_path


def inputs(root: Path) -> tables.Inputs:
    return tables.Inputs(root / "results", root / "model")


def test_a_table_is_rebuilt_and_then_fresh(root: Path) -> None:
    faults, notes = tables.stale(root, inputs(root))
    assert faults == ["README.md: suites: not what the results say. Rebuild with: python -m eval.tables"]
    assert not notes
    tables.stale(root, inputs(root), write=True)
    text = (root / "README.md").read_text(encoding="utf-8")
    assert "| en | 90 | 0.800 (0.700–0.900) | 0.800 (0.700–0.900) | 80.0 % (70.0–90.0) |" in text
    assert "| fr | 90 | 0.800 (0.700–0.900)† | - |" in text
    assert "90 posts; compact@1; thresholds fixed at 0.5; 95 % intervals; 2026-01-01" in text
    assert text.startswith("# X\n\n<!-- table:suites -->\n| language |")
    assert text.endswith("<!-- /table -->\n\nEnd.\n")
    assert tables.stale(root, inputs(root)) == ([], [])


def test_a_changed_number_is_stale(root: Path) -> None:
    tables.stale(root, inputs(root), write=True)
    path = root / "README.md"
    path.write_text(path.read_text(encoding="utf-8").replace("0.800", "0.900", 1), encoding="utf-8")
    assert tables.stale(root, inputs(root))[0]


def test_results_of_another_model_are_stale(root: Path) -> None:
    tables.stale(root, inputs(root), write=True)
    (root / "model" / "manifest.json").write_text(json.dumps({"files": {"model.onnx": "bbbb"}}), encoding="utf-8")
    faults, _ = tables.stale(root, inputs(root))
    assert "suites.json measured a model with weights aaaa, the package holds bbbb. Measure anew with: make eval" in faults[0]


def test_missing_results_are_passed_over_visibly(root: Path) -> None:
    (root / "results" / "suites.json").unlink()
    faults, notes = tables.stale(root, inputs(root))
    assert not faults
    assert "README.md, table suites: passed over" in notes[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [("<!-- table:cake -->\n<!-- /table -->\n", "nothing makes a table 'cake'. Tables: development"), ("<!-- table:suites -->\n", "is closed by <!-- /table -->")],
)
def test_marks_that_are_wrong(root: Path, text: str, message: str) -> None:
    (root / "README.md").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        tables.stale(root, inputs(root))


def test_results_of_another_form_are_refused(root: Path) -> None:
    path = root / "results" / "suites.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), "format": 0}), encoding="utf-8")
    with pytest.raises(InputError, match=f"has format 0, this code reads {FORMAT}"):
        tables.stale(root, inputs(root))


def test_the_committed_tables_are_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    code = tables.main(["--check"])
    said = capsys.readouterr().out
    assert code == 0, said
    if "passed over" in said:
        pytest.skip(said.strip())


def test_figures_of_other_packs_are_foreign(root: Path) -> None:
    counts = {h: {"tp": 3, "fn": 1, "fp": 1, "tn": 3} for h in ("look", "held")}
    results = {
        "sha256": tables.file_hash(tables.measured_files()), "versions": {"en": "1"},
        "development": {code: {"incitement": counts, "defamation": counts} for code in ("en", "xx")},
        "benign": {"total": {"n": 200, "raised": 1}, "languages": {"en": {"n": 200, "raised": 1}}},
    }  # fmt: skip
    path = root / "results" / "packs.json"
    path.write_text(json.dumps(results), encoding="utf-8")
    (root / "README.md").write_text("<!-- table:rules -->\n<!-- /table -->\n", encoding="utf-8")
    tables.stale(root, inputs(root), write=True)
    text = (root / "README.md").read_text(encoding="utf-8")
    assert "| en | 75.0 %" in text
    assert "| xx |" not in text, "a language without a pack has no line"
    assert tables.stale(root, inputs(root)) == ([], [])
    path.write_text(json.dumps({**results, "sha256": "0"}), encoding="utf-8")
    assert "measured on other packs" in tables.stale(root, inputs(root))[0][0]
