"""The command line, as a user meets it: what it prints, what it writes, how it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ipu_moderation.cli import app

COMMAND = [sys.executable, "-m", "ipu_moderation.cli"]


@pytest.fixture
def posts(tmp_path: Path) -> Path:
    path = tmp_path / "posts.csv"
    path.write_text("id,text\na,Cyclists met at noon.\nb,My printer is a worthless piece of junk.\n", encoding="utf-8")
    return path


def told(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})
    return result.exit_code, result.output


def test_a_row_has_the_fields_that_the_documents_promise(posts: Path, tiny_model: Path, tmp_path: Path) -> None:
    code, _ = told("assess", str(posts), "--model", str(tiny_model), "-o", str(tmp_path / "out.jsonl"))
    assert code == 0
    row = json.loads((tmp_path / "out.jsonl").read_text().splitlines()[0])
    assert row["id"] == "a"
    assert set(row["language"]) == {"code", "confidence"}
    assert list(row["scores"]) == ["hate", "abuse", "violence", "incitement"]
    assert row["support"] in ("measured", "unmeasured")
    assert {"targets", "findings", "tier", "truncated", "versions"} <= set(row)
    assert {"action", "priority", "category", "reasons", "policy"} <= set(row["decision"])
    assert "text" not in row


def test_a_pipe_gets_jsonl_and_a_table_comes_when_asked_for(posts: Path, tiny_model: Path) -> None:
    code, out = told("assess", str(posts), "--model", str(tiny_model))
    assert code == 0
    assert [json.loads(line)["id"] for line in out.splitlines() if line.startswith("{")] == ["a", "b"]
    code, out = told("assess", str(posts), "--model", str(tiny_model), "--table", "--show-text")
    assert code == 0
    assert "Cyclists met at noon." in out
    assert "2 posts:" in out


def test_decide_needs_neither_text_nor_model(posts: Path, tiny_model: Path, tmp_path: Path) -> None:
    told("assess", str(posts), "--model", str(tiny_model), "-o", str(tmp_path / "seen.jsonl"))
    code, out = told("decide", str(tmp_path / "seen.jsonl"), "--policy", "review-only")
    assert code == 0
    assert [json.loads(line)["decision"]["policy"] for line in out.splitlines()] == ["review-only@1"] * 2


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["assess", "{posts}", "--text-column", "comment", "--model", "{model}"], 1, "id, text"),
        (["assess", "nowhere.csv", "--model", "{model}"], 1, "No such file"),
        (["assess", "{posts}", "--policy", "draconian", "--model", "{model}"], 1, "cautious"),
        (["assess", "{posts}", "--model", "nowhere"], 1, "manifest.json"),
        (["rules", "check", "nowhere.yaml"], 1, "nowhere.yaml"),
        (["assess"], 2, ""),
    ],
)
def test_what_goes_wrong_is_said_in_a_line(arguments: list[str], code: int, says: str, posts: Path, tiny_model: Path) -> None:
    got, out = told(*(a.format(posts=posts, model=tiny_model) for a in arguments))
    assert got == code, out
    assert says in out
    assert "Traceback" not in out


def test_a_row_not_read_ends_with_three(tmp_path: Path, tiny_model: Path) -> None:
    (tmp_path / "posts.jsonl").write_text('{"text": "fine"}\n{"text": 7}\n')
    code, _ = told("assess", str(tmp_path / "posts.jsonl"), "--model", str(tiny_model), "-o", str(tmp_path / "out.jsonl"))
    assert code == 3
    assert "row 2" in json.loads((tmp_path / "out.jsonl").read_text().splitlines()[1])["error"]


def test_versions_as_json() -> None:
    code, out = told("version", "--json")
    assert code == 0
    assert {"ipu-moderation", "model", "normaliser", "rules"} <= set(json.loads(out))


def test_standard_input_and_a_closed_pipe(tiny_model: Path) -> None:
    lines = "".join(f"cyclists, post {i}\n" for i in range(3000))
    run = subprocess.run(f"{' '.join(COMMAND)} assess - --model {tiny_model} | head -n 1", shell=True, input=lines, capture_output=True, text=True, check=True)
    assert json.loads(run.stdout)["id"] == "1"
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_no_file(by: signal.Signals, tmp_path: Path, tiny_model: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    run = subprocess.Popen(
        [*COMMAND, "assess", "-", "--model", str(tiny_model), "-o", str(out / "out.jsonl")], stdin=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=lambda: signal.signal(by, signal.SIG_DFL)
    )
    assert run.stdin is not None
    run.stdin.write(b"cyclists\n" * 2000)
    run.stdin.flush()
    for _ in range(200):
        if list(out.iterdir()):
            break
        time.sleep(0.1)
    assert [p.name for p in out.iterdir()] == [".out.jsonl.part"]
    run.send_signal(by)
    run.communicate(timeout=60)
    assert run.returncode != 0
    assert list(out.iterdir()) == []
