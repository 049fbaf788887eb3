"""The command line, from a file of posts to a report, as a person would type it."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
from test_review import submission
from typer.testing import CliRunner

from ipu_moderation.review.commands import audit_app, report_app, review_app
from ipu_moderation.types import Action

ROOT = Path(__file__).parents[1]
app = typer.Typer()
for name, part in (("review", review_app), ("audit", audit_app), ("report", report_app)):
    app.add_typer(part, name=name)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A shell in an empty directory, with a key and a database of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IPU_MODERATION_KEY", "k" * 32)
    monkeypatch.setenv("IPU_MODERATION_DB", "review.sqlite")
    monkeypatch.setenv("COLUMNS", "200")

    def one(line: str, code: int = 0) -> str:
        done = CliRunner().invoke(app, shlex.split(line))
        assert done.exit_code == code, done.output + str(done.exception or "")
        return done.output

    return one


def assessed(path: Path, *submissions) -> None:
    """A file as `assess --show-text` writes it."""
    rows = [{"id": s.post.id, **s.assessment.to_dict(show_text=True), "decision": s.decision.to_dict()} for s in submissions]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_from_a_file_of_posts_to_a_report(run, tmp_path):
    assessed(tmp_path / "a.jsonl", submission("p1", "cyclists must be driven out", Action.HOLD), submission("p2", "left-handers are fine", Action.ALLOW))
    assert "posts in review" in run("review import a.jsonl")
    shown = run("review next --reviewer ann --language en")
    assert "cyclists" not in shown
    assert "c▒▒▒▒▒▒▒" in shown
    item = re.search(r"item +(\w+)", shown)[1]
    assert "cyclists must be driven out" in run("review next --reviewer ann --language en --reveal")
    assert "A score was high" in run("review next --reviewer ann --language en --evidence")
    assert json.loads(run("review next --reviewer ann --language en --json"))["blurred"] is True
    assert "waits for a second opinion" in run(f"review label {item} --reviewer ann --restrict --yes hate --note 'clear to me'")
    run("review next --reviewer ben --language en")
    assert "decided, restricted" in run(f"review label {item} --reviewer ben --restrict --yes hate --yes violence")
    assert "open again" in run("review appeal p1 --grounds 'It was a quotation.'")
    assert "It was a quotation." in run("review next --reviewer cid --language en")
    assert "decided, restricted" in run(f"review label {item} --reviewer cid --restrict --yes hate")
    assert "Nothing waits" in run("review stats")
    assert [json.loads(line)["kind"] for line in run("review notices --delivered").splitlines()] == ["held", "restricted", "appeal_upheld"]
    assert run("review notices") == ""
    head = re.search(r"head (\d+:\w+)", run("audit verify"))[1]
    run("audit export -o trail.jsonl")
    assert head in run(f"audit verify trail.jsonl --anchor {head}")
    run("report transparency -o r.html")
    run("report transparency -o r.json")
    assert json.loads(Path("r.json").read_text())["reviewed"]["decided"] == 1
    block = re.search(r"```yaml\n(.*?)```", (ROOT / "docs" / "lawyer.md").read_text(encoding="utf-8"), re.DOTALL)[1]
    Path("grounds.yaml").write_text(block)
    assert "1 statements" in run("report dsa --grounds grounds.yaml -o dsa.json --letters letters")
    assert len(list(Path("letters").iterdir())) == 1
    assert "1 statements" in run("report dsa --grounds grounds.yaml -o holds.json --holds")
    for form, file in (("labels", "l.parquet"), ("label-studio", "t.json"), ("csv", "t.csv"), ("coop", "c.json")):
        run(f"review export --format {form} -o {file}")
    assert "0 verdicts taken" in run("review import t.json")
    assert "0 texts deleted" in run("review purge --older-than 30d")
    run("review lapse")


def test_release_and_cannot_tell(run, tmp_path):
    assessed(tmp_path / "a.jsonl", submission("p1"))
    run("review import a.jsonl")
    item = json.loads(run("review next --reviewer ann --language en --json"))["item"]
    run(f"review release {item} --reviewer ann")
    run("review next --reviewer ann --language en")
    assert "waits for a second opinion" in run(f"review label {item} --reviewer ann --cannot-tell")
    assert run("review next --reviewer ann --language en").startswith("Nothing waits")
    assert run("review next --reviewer ann --language en --json") == "null\n"


def test_one_persons_data(run, tmp_path):
    (tmp_path / "a.csv").write_text("post,text,language,author\np1,my own words,en,ann-marie\np2,other words,en,bo\n")
    run("review import a.csv")
    run("review person --author ann-marie -o hers.json")
    assert [p["text"] for p in json.loads(Path("hers.json").read_text())["posts"]] == ["my own words"]
    assert run("review erase --author ann-marie").startswith("1 posts")
    assert "in order" in run("audit verify")


def test_golden_items_from_a_file(run, tmp_path):
    (tmp_path / "known.csv").write_text("post,text,language,reviewer,restrict,hate\ng1,left-handers are vermin,en,known,yes,yes\n")
    assert "1 golden items added" in run("review import known.csv --golden")
    assert "0 golden items added" in run("review import known.csv --golden")


@pytest.mark.parametrize(
    ("line", "code", "match"),
    [
        ("review next --reviewer ann --language en --key-file none", 1, "openssl rand"),
        ("review label x --reviewer ann", 2, "say one of"),
        ("review label x --reviewer ann --allow --restrict", 2, "say one of"),
        ("review label x --reviewer ann --restrict --yes hate --no hate", 2, "answered twice"),
        ("review label x --reviewer ann --cannot-tell --yes hate", 2, "answer nothing"),
        ("review label x --reviewer ann --allow", 1, "there is no item 'x'"),
        ("review appeal p1 --grounds why", 1, "never in review"),
        ("review import none.csv", 1, "none.csv: No such file"),
        ("review export -o f.xml --format xml", 1, "formats are"),
        ("review export -o f.csv --format csv --only some", 1, "open or settled"),
        ("review purge --older-than ages", 1, "180d"),
        ("audit verify", 1, "no such database"),
        ("audit verify none.jsonl", 1, "audit export"),
        ("audit verify --db other.sqlite", 1, "no such database"),
        ("report transparency -o r.html", 1, "no such database"),
    ],
)
def test_what_goes_wrong_is_said(run, line, code, match):
    done = CliRunner().invoke(app, line.split())
    assert done.exit_code == code, done.output
    assert match in re.sub(r"\s+", " ", done.output)


def test_a_broken_trail_has_exit_code_1(run, tmp_path):
    assessed(tmp_path / "a.jsonl", submission("p1"))
    run("review import a.jsonl")
    run("audit export -o trail.jsonl")
    Path("trail.jsonl").write_text(Path("trail.jsonl").read_text().replace("cautious@1", "reckless@1"))
    assert "was changed" in run("audit verify trail.jsonl", 1)


def test_without_a_key(run, monkeypatch):
    monkeypatch.delenv("IPU_MODERATION_KEY")
    assert "openssl rand" in run("review next --reviewer ann --language en", 1)


def test_every_command_has_a_line_in_the_docs():
    docs = (ROOT / "docs" / "review.md").read_text(encoding="utf-8")
    for name, part in (("review", review_app), ("audit", audit_app), ("report", report_app)):
        for command in part.registered_commands:
            assert f"`{name} {command.name}`" in docs


def test_the_program_in_the_docs_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one = submission("post-1", "cyclists must be driven out", Action.HOLD)
    moderator = SimpleNamespace(assess=lambda text: one.assessment, decide=lambda assessment: one.decision)
    block = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "review.md").read_text(encoding="utf-8"), re.DOTALL)[1]
    names = {"moderator": moderator, "text": one.post.text, "key": b"k" * 32}
    exec(block, names)
    assert names["queue"].standing("post-1").state == "allowed"
