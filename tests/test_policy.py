"""Policies: the presets and their examples, every way to write a bad one, and what moves the priority."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import DAY, held
from hypothesis import given
from hypothesis import strategies as st

from ipu_moderation.errors import PolicyError
from ipu_moderation.policy import Cut, Policy, load_policy
from ipu_moderation.resources import policy_file, policy_names
from ipu_moderation.taxonomy import SCORED, Category, Tier
from ipu_moderation.types import Action, Context, Finding, Language, Score

ROOT = Path(__file__).resolve().parent.parent
PRESETS = ["balanced", "cautious", "review-only"]


def test_the_presets_are_there() -> None:
    assert policy_names() == PRESETS


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_loads_and_its_examples_run(name: str) -> None:
    policy = load_policy(name)
    assert policy.name == name
    assert policy.id == f"{name}@{policy.version}"
    assert len(policy.examples) >= 3
    assert set(policy.default) == set(SCORED)


@pytest.mark.parametrize("name", PRESETS)
def test_an_example_that_decides_otherwise_is_refused(name: str, tmp_path: Path) -> None:
    data = yaml.safe_load(policy_file(name).read_text(encoding="utf-8"))
    data["examples"][0]["expect"] = "hold"
    data["examples"][1]["expect"] = "hold"
    with pytest.raises(PolicyError, match=rf"2 of {len(data['examples'])} examples decide otherwise") as caught:
        load_policy(written(tmp_path, data))
    assert len(caught.value.faults) == 2
    assert "expected hold, got" in caught.value.faults[0]


@pytest.mark.parametrize("name", PRESETS)
def test_the_measurement_behind_a_preset_is_there(name: str) -> None:
    evidence = load_policy(name).evidence
    if evidence is None:
        pytest.skip(f"{name} names no measurement")
    if not (ROOT / evidence).is_file():
        pytest.skip(f"{name} names {evidence}, which is not there yet: the model is not measured")


def test_review_only_never_holds() -> None:
    assert {cut.hold for cut in load_policy("review-only").default.values()} == {None}


# ------------------------------------------------------------------------------------------------------------------- bad policies

GOOD: dict[str, Any] = {
    "name": "mine", "version": "1", "about": "Mine.", "hold_hours": 12,
    "default": {"hate": {"review": 0.5, "hold": 0.9}},
    "examples": [{"about": "likely hate", "scores": {"hate": 0.6}, "expect": "review"}],
}  # fmt: skip


def written(directory: Path, data: Any) -> Path:
    path = directory / "mine.yaml"
    path.write_text(data if isinstance(data, str) else yaml.safe_dump(data), encoding="utf-8")
    return path


def test_a_good_policy_is_good(tmp_path: Path) -> None:
    policy = load_policy(written(tmp_path, GOOD))
    assert policy == load_policy(str(tmp_path / "mine.yaml"))


BAD: list[tuple[str, dict[str, Any], list[str]]] = [
    ("nothing at all", {k: None for k in GOOD}, ["name", "version", "about", "default", "examples"]),
    ("an unknown field", {"colour": "red"}, ["colour"]),
    ("an unknown category", {"default": {"kindness": {"review": 0.5}}}, ["default.kindness"]),
    ("a category of rules", {"default": {"defamation_risk": {"review": 0.5}}}, ["found by rules and has no threshold; categories with scores: hate, abuse, violence, incitement"]),
    ("the same in a language", {"languages": {"fr": {"mobilisation": {"review": 0.5}}}}, ["mobilisation is found by rules"]),
    ("abuse that holds", {"default": {"abuse": {"review": 0.5, "hold": 0.9}}}, ["abuse leads to review at most: hold must be null"]),
    ("abuse that holds in one language", {"languages": {"fr": {"abuse": {"review": 0.5, "hold": 0.9}}}}, ["abuse leads to review at most"]),
    ("a hold below its review", {"default": {"hate": {"review": 0.9, "hold": 0.5}}}, ["hold needs a review threshold that is not above it"]),
    ("a hold without a review", {"default": {"hate": {"review": None, "hold": 0.5}}}, ["hold needs a review threshold"]),
    ("thresholds outside (0, 1)", {"default": {"hate": {"review": 0, "hold": 1}}}, ["default.hate.review", "default.hate.hold"]),
    ("a threshold that is none", {"default": {"hate": {"review": ".nan"}}}, ["default.hate.review"]),
    ("a hold that never lapses", {"hold_hours": None}, ["hold_hours"]),
    ("a hold of a month", {"hold_hours": 720}, ["hold_hours"]),
    ("a hold of no time", {"hold_hours": 0}, ["hold_hours"]),
    ("a name that is none", {"name": "My Policy"}, ["name"]),
    ("an action beyond hold", {"examples": [{"about": "x", "expect": "remove"}]}, ["examples.0.expect"]),
    ("an example with an impossible score", {"examples": [{"about": "x", "scores": {"hate": 7}, "expect": "hold"}]}, ["examples.0.scores.hate"]),
    ("several at once", {"colour": "red", "hold_hours": 720, "version": None, "review_findings": ["gossip"]}, ["colour", "hold_hours", "version", "review_findings.0"]),
]


@pytest.mark.parametrize(("changes", "faults"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_a_bad_policy_lists_all_its_faults(changes: dict[str, Any], faults: list[str], tmp_path: Path) -> None:
    with pytest.raises(PolicyError) as caught:
        load_policy(written(tmp_path, {**GOOD, **changes}))
    assert str(tmp_path / "mine.yaml") in str(caught.value)
    for fault in faults:
        assert any(fault in found for found in caught.value.faults), caught.value
        assert fault in str(caught.value)


@pytest.mark.parametrize("content", ["", "- a\n- list", "just words", "42"])
def test_a_file_that_is_no_mapping(content: str, tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="1 faults?\n1. file"):
        load_policy(written(tmp_path, content))


@pytest.mark.parametrize("content", [b"name: [", b"name: {a: b", b"\xff\xfe\x00"])
def test_a_file_that_is_no_yaml(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_bytes(content)
    with pytest.raises(PolicyError, match="not valid YAML"):
        load_policy(tmp_path / "mine.yaml")


@pytest.mark.parametrize("name", ["strict", "", "Cautious", "no/such/file.yaml", "nowhere.yaml"])
def test_an_unknown_policy_names_those_that_exist(name: str) -> None:
    with pytest.raises(PolicyError, match="Presets: balanced, cautious, review-only; or name a YAML file by its path"):
        load_policy(name)


def test_a_directory_is_no_policy(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="directory"):
        load_policy(tmp_path)


def test_a_path_is_a_path_even_when_it_sounds_like_a_preset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copyfile(policy_file("balanced"), tmp_path / "cautious")
    monkeypatch.chdir(tmp_path)
    assert load_policy(Path("cautious")).name == "balanced"
    assert load_policy("cautious").name == "cautious"


# ---------------------------------------------------------------------------------------------------------------------- decisions


def policy(**changes: Any) -> Policy:
    return Policy.model_validate({**GOOD, **changes})


LANGUAGES = {"pt": {"hate": {"review": 0.7}}, "pt-BR": {"hate": {"review": 0.8}}, "fr": {"violence": {"review": 0.6}}}


@pytest.mark.parametrize(
    ("language", "category", "review"),
    [("en", Category.HATE, 0.5), ("pt", Category.HATE, 0.7), ("pt-PT", Category.HATE, 0.7), ("pt-BR", Category.HATE, 0.8), ("pt-Arab", Category.HATE, 0.5), ("fr", Category.HATE, 0.5), ("fr", Category.VIOLENCE, 0.6),
     ("en", Category.VIOLENCE, None), ("und", Category.ABUSE, None), ("en", Category.DEFAMATION_RISK, None)],
)  # fmt: skip
def test_a_threshold_is_looked_up_from_the_nearest_language(language: str, category: Category, review: float | None) -> None:
    assert policy(languages=LANGUAGES).cut(language, category).review == review


@pytest.mark.parametrize(("value", "action"), [(0.4999, Action.ALLOW), (0.5, Action.REVIEW), (0.8999, Action.REVIEW), (0.9, Action.HOLD), (1.0, Action.HOLD)])
def test_thresholds_belong_to_the_stronger_side(value: float, action: Action) -> None:
    assert policy().decide(held(scores={Category.HATE: Score(Category.HATE, value, "measured")})).action is action


@pytest.mark.parametrize(("finding", "action"), [("incitement", Action.REVIEW), ("defamation_risk", Action.REVIEW), ("abuse", Action.ALLOW)])
def test_a_finding_alone_asks_for_review_where_the_policy_says_so(finding: str, action: Action) -> None:
    seen = held(scores={}, findings=(Finding("en/x", Category(finding), "raise", 0, 1, "Seen."),))
    assert policy(review_findings=["incitement", "defamation_risk"]).decide(seen).action is action


def test_reasons_are_sentences_with_numbers_and_rules_in_them() -> None:
    decision = load_policy("cautious").decide(held())
    assert decision.action is Action.HOLD
    assert decision.category is Category.INCITEMENT
    assert decision.expires_after == DAY
    assert decision.reasons[0] == (
        "Kept back for at most 24 hours until a person looks: the score for incitement is 0.95 (hold begins at 0.85), and rule en/call found: A call."
    )
    assert decision.reasons[1:] == ("The score for incitement is 0.95; review begins at 0.65.", "Rule en/call: A call.")
    assert decision.policy == "cautious@1"
    assert decision.versions == {"model": "any@1"}


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"truncated": True}, "longer than what the classifier reads"),
        ({"faults": ("classifier: RuntimeError",)}, "Something failed on the way; the text is never held for that reason: classifier: RuntimeError."),
        ({"scores": {Category.HATE: Score(Category.HATE, 0.95, "unmeasured")}}, "The quality for language 'en' is not measured in every category"),
        ({"findings": (Finding("en/x", Category.HATE, "raise", 0, 1, "Seen.", "en/report"),)}, "something in the text excuses it (en/report)"),
    ],
)
def test_limits_of_the_evidence_are_told(changes: dict[str, Any], note: str) -> None:
    decision = load_policy("cautious").decide(held(**changes))
    assert decision.action is not Action.HOLD
    assert any(note in reason for reason in decision.reasons)


@pytest.mark.parametrize(
    ("context", "tier", "moves"),
    [
        (Context(), Tier.TOP, 0),
        (Context(speaker_role="influential"), Tier.TOP, 1),
        (Context(speaker_role="influential"), Tier.BOTTOM, 0),
        (Context(situation="unrest"), Tier.TOP, 1),
        (Context(situation="election"), Tier.BOTTOM, 1),
        (Context(situation="ordinary"), Tier.TOP, 0),
        (Context(reach=1_000_000), Tier.TOP, 1),
        (Context(reach=10), Tier.TOP, 0),
        (Context(repeated=50), Tier.TOP, 1),
        (Context(reports=3), Tier.TOP, 1),
        (Context(medium="private_message"), Tier.TOP, -1),
    ],
)
def test_context_moves_the_priority(context: Context, tier: Tier, moves: int) -> None:
    seen = held(tier=tier, scores={Category.INCITEMENT: Score(Category.INCITEMENT, 0.6, "measured")})
    plain, known = (load_policy("cautious").decide(seen, c).priority for c in (None, context))
    assert (known > plain) - (known < plain) == moves


def test_criticism_of_public_life_comes_later() -> None:
    seen = held(scores={}, tier=Tier.BOTTOM, findings=(Finding("en/x", Category.DEFAMATION_RISK, "raise", 0, 1, "Seen."),))
    plain, official = (load_policy("cautious").decide(seen, Context(about=a)).priority for a in ("private", "official"))  # type: ignore[arg-type]
    assert official < plain


def test_the_context_that_came_with_the_text_is_used_unless_another_is_given() -> None:
    seen = held(context=Context(reach=1_000_000), scores={Category.INCITEMENT: Score(Category.INCITEMENT, 0.6, "measured")})
    decide = load_policy("cautious").decide
    assert decide(seen).priority == decide(seen, Context(reach=1_000_000)).priority > decide(seen, Context()).priority


@given(st.floats(0, 1), st.floats(0, 1))
def test_more_evidence_is_never_later_or_weaker(a: float, b: float) -> None:
    low, high = (load_cautious().decide(held(scores={Category.HATE: Score(Category.HATE, v, "measured")})) for v in sorted((a, b)))
    assert low.action.rank <= high.action.rank
    assert low.priority <= high.priority


def load_cautious(loaded: list[Policy] = []) -> Policy:  # noqa: B006 - read once
    if not loaded:
        loaded.append(load_policy("cautious"))
    return loaded[0]


def test_a_policy_cannot_be_changed_once_it_is_read() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_policy("cautious").hold_hours = 9000
    with pytest.raises(ValueError, match="frozen"):
        Cut(review=0.5).review = 0.1


def test_an_allowed_post_has_no_category_and_no_priority() -> None:
    decision = load_policy("cautious").decide(held(scores={}, findings=(), language=Language("und", 0)))
    assert (decision.action, decision.priority, decision.category, decision.expires_after) == (Action.ALLOW, 0.0, None, None)
    assert decision.to_dict() == {"action": "allow", "priority": 0.0, "category": None, "reasons": [], "policy": "cautious@1", "expires_after_seconds": None}
