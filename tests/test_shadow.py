"""A policy in the shadow of another: it is counted, and never acts; what would change is told by language and group."""

from __future__ import annotations

import json
import threading

import pytest
from typer.testing import CliRunner

from ipu_moderation.policy import Cut, Policy
from ipu_moderation.policy_commands import policy_app
from ipu_moderation.shadow import FEW, Shadow, Slice, compare
from ipu_moderation.taxonomy import Category, TargetGroup, Tier
from ipu_moderation.types import Action, Assessment, Context, Finding, Language, Score, TargetScore, Text

ALLOW, REVIEW, HOLD = Action
HATE, ABUSE, INCITEMENT = Category.HATE, Category.ABUSE, Category.INCITEMENT


def policy(name, review, hold=None, languages=None):
    return Policy(name=name, version="1", about="a test", default={HATE: Cut(review=review, hold=hold)}, languages=languages or {}, examples=[])


def post(value, language="en", target=None, finding=False):
    targets = {g: TargetScore(g, 0.9 if g is target else 0.1) for g in TargetGroup}
    findings = (Finding("en/test", INCITEMENT, "raise", 0, 1, "a test."),) if finding else ()
    return Assessment(Text("left-handers smear ink", "", "", (), ()), Language(language, 1.0), {HATE: Score(HATE, value, "measured")}, targets, findings, Tier.NONE, {}, False)


A, B = policy("a", 0.8, 0.95), policy("b", 0.5, 0.7)

MOVES = [
    ("both leave it alone", post(0.1), ALLOW, ALLOW),
    ("B would look", post(0.6), ALLOW, REVIEW),
    ("both look", post(0.9), REVIEW, REVIEW),
    ("B would hold", post(0.85, finding=True), REVIEW, HOLD),
    ("both hold", post(0.99, finding=True), HOLD, HOLD),
]


@pytest.mark.parametrize(("about", "assessment", "first", "second"), MOVES, ids=[m[0] for m in MOVES])
def test_a_acts_and_b_is_counted(about, assessment, first, second):
    shadow = Shadow(A, B)
    decision = shadow.decide(assessment)
    assert decision.action is first
    assert decision.policy == "a@1"
    assert shadow.comparison().total.moves == {(first, second): 1}


def test_the_shadow_never_changes_a_decision():
    for _, assessment, _, _ in MOVES:
        assert Shadow(A, B).decide(assessment, Context(reach=50_000)) == A.decide(assessment, Context(reach=50_000))


def test_what_would_change_by_language_group_and_category():
    posts = [post(0.1)] * 50 + [post(0.6, "sw", TargetGroup.AGE)] * 40 + [post(0.1, "sw")] * 10 + [post(0.9, "en", TargetGroup.GENDER)] * 5
    comparison = compare(A, B, posts)
    total = comparison.total
    assert (total.posts, total.stronger, total.weaker) == (105, 40, 0)
    assert (total.under_a(REVIEW), total.under_b(REVIEW)) == (5, 45)
    assert {s.name: (s.posts, s.stronger) for s in comparison.by_language} == {"en": (55, 0), "sw": (50, 40)}
    assert {s.name: (s.posts, s.stronger) for s in comparison.by_group} == {"gender": (5, 0), "age": (40, 40), "-": (60, 0)}
    assert [s.name for s in comparison.by_group] == ["gender", "age", "-"]  # as in the taxonomy
    assert {s.name: s.posts for s in comparison.by_category} == {"hate": 45, "-": 60}
    assert comparison.by_language[1].newly_touched.value == 0.8
    assert comparison.uneven() == tuple(line for line in comparison.words() if line.startswith(("language", "group")))
    assert [line.split(":")[0] for line in comparison.uneven()] == ["language sw", "group age"]


def test_little_is_no_evidence_of_unevenness():
    assert compare(A, B, [post(0.1)] * 500 + [post(0.6, "sw")] * (FEW - 1)).uneven() == ()


def test_a_weaker_policy():
    comparison = compare(B, A, [post(0.6)] * 3 + [post(0.1)])
    assert (comparison.total.stronger, comparison.total.weaker) == (0, 3)
    assert "less with 3" in comparison.words()[0]


def test_a_post_counts_for_each_group_that_it_speaks_of():
    both = post(0.6, target=TargetGroup.AGE)
    both = Assessment(both.text, both.language, both.scores, {g: TargetScore(g, 0.7) for g in (TargetGroup.AGE, TargetGroup.GENDER)}, (), Tier.NONE, {}, False)
    assert {s.name: s.posts for s in compare(A, B, [both]).by_group} == {"gender": 1, "age": 1}


def test_priorities_are_compared_where_both_act():
    assert compare(A, B, [post(0.1), post(0.6)]).priority is None
    assert compare(A, B, [post(0.9)]).priority == 0


def test_contexts_go_beside():
    comparison = compare(A, B, [post(0.9)] * 2, [Context(reach=50_000), None])
    assert comparison.total.posts == 2
    with pytest.raises(ValueError, match="shorter"):
        compare(A, B, [post(0.9)] * 2, [None])


def test_nothing_seen():
    comparison = compare(A, B, [])
    assert comparison.words() == ("No posts were seen.",)
    assert comparison.total == Slice("all", {})
    assert comparison.total.newly_touched is None
    assert comparison.to_dict()["total"]["newly_touched"] is None


def test_threads_lose_no_count():
    shadow = Shadow(A, B)
    threads = [threading.Thread(target=lambda: [shadow.decide(post(0.6)) for _ in range(200)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert shadow.comparison().total.posts == 800


# --- the command ---------------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path):
    for one in (A, B):
        lines = [f"name: {one.name}", 'version: "1"', "about: a test", f"default: {{hate: {{review: {one.default[HATE].review}, hold: {one.default[HATE].hold}}}}}", "examples: []"]
        (tmp_path / f"{one.name}.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    posts = [post(0.1)] * 20 + [post(0.6, "sw", TargetGroup.AGE)] * 3 + [post(0.85, finding=True)]
    rows = [json.dumps({"id": str(i), **p.to_dict()}) for i, p in enumerate(posts)]
    (tmp_path / "assessed.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return tmp_path


def run(files, *more, source="assessed.jsonl"):
    return CliRunner().invoke(policy_app, ["compare", str(files / "a.yaml"), str(files / "b.yaml"), str(files / source), *more])


def test_compare_tells_in_words_and_tables(files):
    result = run(files)
    assert result.exit_code == 0, result.output
    assert "Of 24 posts, b@1 would do more than a@1 with 4, less with 0, and the same with 20." in result.stdout
    assert "Held until a person looks: 0 -> 1." in result.stdout
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["sw", "3", "0", "->", "3", "0", "->", "0", "3", "0", "100.0%", "(29.2%-100.0%)"] in rows
    assert "ink" not in result.output  # no text of anybody


def test_compare_as_json(files):
    result = run(files, "--json")
    data = json.loads(result.stdout)
    assert data["total"]["moves"] == {"allow -> allow": 20, "allow -> review": 3, "review -> hold": 1}
    assert data["rows_not_read"] == 0


def test_rows_that_are_no_assessments_are_counted(files):
    (files / "mixed.jsonl").write_text((files / "assessed.jsonl").read_text() + '{"id": "x", "error": "row 9: no text"}\nno json, secret words\n', encoding="utf-8")
    result = run(files, source="mixed.jsonl")
    assert result.exit_code == 3
    assert "2 rows are no assessments" in result.output
    assert "secret" not in result.output


def test_files_that_are_missing(files):
    result = run(files, source="none.jsonl")
    assert result.exit_code == 1
    assert "none.jsonl" in result.output
    result = CliRunner().invoke(policy_app, ["compare", "nosuch", "cautious", str(files / "assessed.jsonl")])
    assert result.exit_code == 1
    assert "there is no policy 'nosuch'" in result.output
