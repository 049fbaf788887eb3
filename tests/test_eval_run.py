"""From a labelled file to results and a report: one command, no text in what is written, a run that goes on, a gate, stress."""

from __future__ import annotations

import csv
import json
import random
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from eval import compare, data, report, run, scoring, stress
from eval.models import label_categories, load
from ipu_moderation.errors import InputError, ModelError
from ipu_moderation.policy import load_policy

MODEL = "tests.eval_stand_ins:score"
WORSE = "tests.eval_stand_ins:worse"
FAST = ["--resamples", "40"]


@pytest.fixture(autouse=True)
def in_the_clone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parent.parent)


@pytest.fixture
def real_report() -> None:
    """Asked for by tests that look at the report; the others do without its drawings, which take most of the time."""


@pytest.fixture(autouse=True)
def no_drawings(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "real_report" not in request.fixturenames:
        monkeypatch.setattr(report, "render", lambda results, texts=None: "drawn elsewhere")


def write_posts(path: Path, n: int = 240, *, plain: bool = False) -> Path:
    """Posts about harmless groups; one in five labels is against what the sentence says."""
    chance = random.Random(1)
    head = ["text", "label"] if plain else ["id", "text", "language", "hate", "abuse", "groups", "side", "protected", "functionality", "source"]
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(head)
        for i in range(n):
            group, out = chance.choice(["cyclists", "bakers", "painters"]), chance.random() < 0.4
            text = f"Secret {i}: all {group} should be driven out." if out else f"Secret {i}: the {group} met for lunch."
            yes = out != (chance.random() < 0.2)
            row = [i, text, chance.choice(["en", "fr"]), int(yes), int(yes), group, chance.choice(["left", "right"]), "" if yes else "journalism", "out_h" if yes else "lunch_nh", f"s{i % 2}"]
            writer.writerow([text, "yes" if yes else "no"] if plain else row)
    return path


@pytest.fixture
def posts(tmp_path: Path) -> Path:
    return write_posts(tmp_path / "posts.csv")


def measured(posts: Path, *more: str, model: str = MODEL, out: str = "out") -> dict:
    place = posts.parent / out
    assert run.main([str(posts), "--model", model, "--out", str(place), *FAST, *more]) == 0
    results: dict = json.loads((place / "results.json").read_text(encoding="utf-8"))
    return results


# --- eval.run ----------------------------------------------------------------------------------------------------------------------------------


def test_one_command_gives_figures_and_a_report(posts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    r = measured(posts)
    hate = r["overall"]["hate"]
    assert hate["prevalence"]["n"] == 240
    assert hate["auc"]["low"] < hate["auc"]["value"] < hate["auc"]["high"]
    assert set(r["language"]) == {"en", "fr"}
    assert set(r["groups"]["by_group"]) == {"cyclists", "bakers", "painters"}
    assert set(r["side"]["by_side"]) == {"left", "right"}
    assert r["functionality"]["out_h"]["hate"]["expected"] == "yes"
    assert r["protected"]["journalism"]["over_flagged"]["n"] == r["overall"]["hate"]["prevalence"]["n"] - round(240 * hate["prevalence"]["value"])
    assert set(r["source"]) == {"s0", "s1"}
    cohort = r["cohort"]
    assert cohort["data"]["sha256"] == data.file_hash([posts])
    assert (cohort["threshold_policy"], cohort["seed"], cohort["mapping"]["labels"]) == ("fixed at 0.5", 0, {"hate": "hate", "abuse": "abuse"})
    assert "gives one number only" in " ".join(r["warnings"])
    out = capsys.readouterr().out
    assert "macro-F1" in out
    assert "report.html" in out


def test_no_text_is_written(real_report: None, posts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    measured(posts)
    out, err = capsys.readouterr()
    written = [p.read_bytes() for p in (posts.parent / "out").rglob("*") if p.is_file()]
    assert len(written) >= 4
    assert not any(b"Secret" in content for content in [*written, out.encode(), err.encode()])


def test_plain_two_columns(tmp_path: Path) -> None:
    r = measured(write_posts(tmp_path / "plain.csv", plain=True), "--language", "en")
    assert list(r["overall"]) == ["hate"]
    assert r["groups"] == r["functionality"] == r["protected"] == {}


def test_one_class_is_measured_and_marked(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,language,label\n" + "".join(f"lunch {i},en,no\n" for i in range(30)), encoding="utf-8")
    r = measured(path)
    assert r["overall"]["hate"]["auc"]["value"] is None
    assert r["overall"]["hate"]["fpr"]["value"] == 0.0
    assert "no row is labelled yes" in " ".join(r["warnings"])


def test_results_do_not_depend_on_when(posts: Path) -> None:
    first, second = measured(posts), measured(posts, "--fresh", out="again")
    for results in (first, second):
        for key in ("posts_per_second", "load_seconds", "peak_mb"):
            results["cohort"]["model"].pop(key)
    assert first == second


def test_an_interrupted_run_goes_on(posts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "PART", 100)
    monkeypatch.setattr(scoring, "BATCH", 100)
    calls = posts.parent / "calls"
    monkeypatch.setenv("EVAL_CALLS", str(calls))
    command = [str(posts), "--model", "tests.eval_stand_ins:interrupted", "--out", str(posts.parent / "out"), *FAST]
    assert run.main(command) == 130
    assert run.main(command) == 0
    assert calls.read_text().split() == ["100", "100", "100", "40"]  # the second hundred was lost and scored again, the first was not
    assert run.main(command) == 0
    assert len(calls.read_text().split()) == 4
    r = json.loads((posts.parent / "out" / "results.json").read_text(encoding="utf-8"))
    assert r["overall"] == measured(posts, out="whole")["overall"]


def test_changed_data_is_scored_anew(posts: Path) -> None:
    before = measured(posts)["overall"]["hate"]["prevalence"]["n"]
    with posts.open("a", encoding="utf-8") as stream:
        stream.write("999,Lunch again.,en,0,0,bakers,left,,lunch_nh,s0\n")
    assert measured(posts)["overall"]["hate"]["prevalence"]["n"] == before + 1


def test_thresholds_come_from_other_data_only(posts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = write_posts(tmp_path / "other.csv", n=300)
    measured(other, out="other")
    source = str(tmp_path / "other" / "results.json")
    r = measured(posts, "--threshold-from", f"{source}:fpr_5pc", out="with")
    assert r["cohort"]["threshold_policy"].startswith("fpr_5pc on other.csv (")
    assert run.main([str(other), "--model", MODEL, "--out", str(tmp_path / "x"), "--threshold-from", source]) == 1
    assert "made on this very data" in capsys.readouterr().err


@pytest.mark.parametrize("threshold", ["0", "1.5", "high"])
def test_bad_thresholds_are_refused(posts: Path, threshold: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main([str(posts), "--model", MODEL, "--threshold", threshold, "--out", str(posts.parent / "o")]) == 1
    assert "a number between 0 and 1" in capsys.readouterr().err


def test_thresholds_of_a_policy(posts: Path) -> None:
    r = measured(posts, "--threshold", "policy", "--policy", "balanced")
    assert r["cohort"]["threshold_policy"].startswith("review thresholds of policy balanced@")


def test_a_moderator_gives_actions(posts: Path, moderator_spec: str) -> None:
    r = measured(posts, model=moderator_spec)
    assert r["review"]["all"]["sent"]["n"] == 240
    assert r["review"]["all"]["held"]["value"] is not None
    assert r["protected"]["journalism"]["sent"]["value"] is not None
    assert r["cohort"]["model"]["versions"]["policy"].startswith("cautious@")


@pytest.fixture
def moderator_spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "eval_own_classifier.py").write_text("from tests.conftest import StandIn\nclassifier = StandIn()\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    return "eval_own_classifier:classifier"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nothing", "there is no model 'nothing'. Models: default"),
        ("tests.eval_stand_ins:absent", "has no 'absent'. It has:"),
        ("tests.absent:x", "no module 'tests.absent'"),
        ("tests.eval_stand_ins:not_callable", "is int: a Classifier, or a callable"),
        ("eval", "neither a model directory of this project"),
    ],
)
def test_models_that_are_none(spec: str, message: str) -> None:
    with pytest.raises(ModelError, match=re.escape(message)):
        load(spec, load_policy("cautious"))


@pytest.mark.parametrize(("name", "message"), [("wrong_shape", r"scores of shape \(1,\) for 2 texts"), ("logits", "scores outside")])
def test_scores_that_are_none(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load(f"tests.eval_stand_ins:{name}", load_policy("cautious")).score(["a", "b"], ["en", "en"])


def test_scores_by_category() -> None:
    outcome = load("tests.eval_stand_ins:by_category", load_policy("cautious")).score(["driven out", "lunch"], ["en", "en"])
    assert outcome.scores[0, 0] > 0.5 > outcome.scores[1, 0]
    assert np.isnan(outcome.scores[:, 2:]).all()


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["LABEL_0", "LABEL_1"], [None, "hate"]),
        (["NOT_HATE", "HATE"], [None, "hate"]),
        (["normal", "offensive", "hateful"], [None, "abuse", "hate"]),
        (["toxicity", "threat", "identity_attack"], ["abuse", "violence", "hate"]),
        (["nothate", "hate"], [None, "hate"]),
        (["acceptable", "HS"], [None, "hate"]),
        (["one"], ["hate"]),
    ],
)
def test_labels_of_checkpoints(names: list[str], expected: list[str | None]) -> None:
    assert label_categories(names) == expected


@pytest.mark.parametrize("names", [["LABEL_0", "LABEL_1", "LABEL_2"], ["happy", "sad"]])
def test_labels_that_say_nothing(names: list[str]) -> None:
    with pytest.raises(ModelError, match="measure it as module:name"):
        label_categories(names)


def test_a_hugging_face_directory(tmp_path: Path) -> None:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    torch.manual_seed(0)
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "lunch", "driven", "out"]), encoding="utf-8")
    config = transformers.BertConfig(vocab_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, id2label={0: "NOT", 1: "HATE"}, label2id={"NOT": 0, "HATE": 1})
    transformers.BertForSequenceClassification(config).save_pretrained(tmp_path)
    transformers.BertTokenizerFast(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    scorer = load(str(tmp_path), load_policy("cautious"))
    outcome = scorer.score(["lunch", "driven out " * 400], ["en", "en"])
    assert scorer.one_score
    assert ((outcome.scores > 0) & (outcome.scores < 1)).all()
    assert scorer.versions["weights"]


# --- eval.compare --------------------------------------------------------------------------------------------------------------------------------


def test_compare_and_gate(real_report: None, posts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = posts.parent / "pair"
    command = [MODEL, WORSE, "--data", str(posts), "--out", str(out), *FAST]
    assert compare.main([*command, "--no-worse-than", "0.02"]) == 1
    assert "it may be worse by more than 0.02" in capsys.readouterr().err
    r = json.loads((out / "results.json").read_text(encoding="utf-8"))
    pair = r["differences"][0]
    assert pair["overall"]["hate"]["difference"]["macro_f1"]["high"] < 0
    assert set(pair["language"]) == {"en", "fr"}
    assert set(pair["functionality"]) == {"lunch_nh", "out_h"}
    assert pair["overall"]["hate"]["mcnemar"]["only_a_right"] > pair["overall"]["hate"]["mcnemar"]["only_b_right"]
    assert pair["disagreements"]["n"] >= len(pair["disagreements"]["rows"]) > 0
    assert all(m["run"]["posts_per_second"] and m["run"]["peak_mb"] for m in r["models"].values())
    assert "Secret" not in (out / "report.html").read_text(encoding="utf-8")
    # the same model passes, and texts are shown to those who ask
    assert compare.main([WORSE, MODEL, "--data", str(posts), "--out", str(out), *FAST, "--no-worse-than", "0.02", "--show-text"]) == 0
    assert "Secret" in (out / "report.html").read_text(encoding="utf-8")
    assert "Secret" not in (out / "results.json").read_text(encoding="utf-8")


def test_peers_in_one_run(posts: Path, tmp_path: Path) -> None:
    pytest.importorskip("profanity_check")
    train = write_posts(tmp_path / "train.csv", n=60, plain=True)
    out = tmp_path / "peers"
    assert compare.main([MODEL, f"tfidf:{train}", "profanity-check", "--data", str(posts), "--out", str(out), *FAST]) == 0
    r = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert [m["spec"] for m in r["models"].values()][1] == "tfidf:train.csv"
    assert r["models"]["tfidf (60 rows)"]["overall"]["hate"]["auc"]["value"] > 0.6
    assert str(tmp_path) not in (out / "results.json").read_text(encoding="utf-8")


def test_compare_fails_where_a_process_fails(posts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare.main([MODEL, "tests.eval_stand_ins:logits", "--data", str(posts), "--out", str(posts.parent / "x"), *FAST]) == 1
    assert "Logits need a sigmoid" in capsys.readouterr().err


# --- eval.stress -----------------------------------------------------------------------------------------------------------------------------------


def test_stress(real_report: None, posts: Path) -> None:
    out = posts.parent / "stress"
    assert stress.main([str(posts), "--model", MODEL, "--rows", "10", "--out", str(out), *FAST]) == 0
    r = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert r["cohort"]["rows"] == {"yes": 10, "no": 10}
    for points in (v["points"] for v in r["disguise"].values()):
        assert points[0]["recall"] == r["disguise"]["asterisks"]["points"][0]["recall"]
    assert r["disguise"]["letters left out"]["points"][-1]["recall"]["value"] <= r["disguise"]["letters left out"]["points"][0]["recall"]["value"]
    assert set(r["symmetry"]) == {"side", "gender", "faith"}
    assert "Secret" not in (out / "report.html").read_text(encoding="utf-8")


def test_disguises_change_what_they_say_and_no_more() -> None:
    text, chance = "All cyclists should be driven out of this town!", random.Random(0)
    for name, way in stress.DISGUISES.items():
        assert way.apply(text, 0.0, chance, "en") == text, name
        assert way.apply(text, 0.6, random.Random(1), "en") != text, name
        assert way.apply(text, 0.6, random.Random(1), "en") == way.apply(text, 0.6, random.Random(1), "en"), name
        assert 0 < way.reach(text) <= 1, name
    assert way.reach("123") == 0.0


def test_every_probe_fits_its_axis() -> None:
    probes = stress.probes()
    assert all(len(lines) >= 4 for lines in probes["filler"].values())
    for probe in probes["symmetry"]:
        assert len(probe["terms"]) >= 2
        assert all(frame.count("{}") == 1 for frame in probe["frames"])


def test_one_label_cannot_be_stressed(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,language,label\nlunch,en,no\n", encoding="utf-8")
    with pytest.raises(InputError, match="needs posts labelled yes and posts labelled no"):
        stress.selection(data.open_data(path), "hate", 5)


# --- the report --------------------------------------------------------------------------------------------------------------------------------------


class Outline(HTMLParser):
    """What a screen reader or a browser without network would trip over."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.labelled: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append((tag, values))
        if "id" in values:
            self.ids.append(values["id"] or "")
        for name in ("aria-labelledby", "aria-describedby"):
            self.labelled += (values.get(name) or "").split()
        if tag == "a" and (values.get("href") or "").startswith("#"):
            self.labelled.append((values["href"] or "")[1:])


def test_the_report_is_self_contained_and_accessible(real_report: None, posts: Path) -> None:
    html = report.render(measured(posts))
    page = Outline()
    page.feed(html)
    count = {tag: sum(t == tag for t, _ in page.tags) for tag in {t for t, _ in page.tags}}
    assert html.startswith("<!doctype html>\n<html lang=\"en\">")
    assert len(page.ids) == len(set(page.ids))
    assert set(page.labelled) <= set(page.ids)
    assert count["table"] == count["caption"]
    assert count["h1"] == count["main"] == 1
    assert count["svg"] >= 6
    assert html.count('<svg viewBox') == html.count('role="img"')
    assert all(values.get("scope") in ("row", "col") for tag, values in page.tags if tag == "th")
    assert 'class="skip" href="#main"' in html
    assert not re.search(r"""(src|href)=["'](?!#)""", html)  # nothing is fetched
    assert "url(http" not in html
    assert "<script" not in html
    assert "@import" not in html


def luminance(colour: str) -> float:
    """Source: WCAG 2.2, relative luminance."""
    colour = colour if len(colour) == 7 else "#" + "".join(c * 2 for c in colour[1:])
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_colours_have_contrast() -> None:
    style = (Path(report.__file__).parent / "report.html.j2").read_text(encoding="utf-8")
    colour = dict(re.findall(r"--(\w+): (#[0-9a-f]{3,6})", style))
    grounds = [colour[k] for k in ("paper", "band", "good", "middle", "bad")] + ["#fff8e8"]
    for ink in ("ink", "soft", "accent"):
        for ground in grounds:
            light, dark = sorted((luminance(colour[ink]), luminance(ground)), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (ink, ground)


def test_report_of_what_is_no_result(real_report: None) -> None:
    with pytest.raises(InputError, match="these are no results"):
        report.render({"kind": "cake", "cohort": {}})


def test_the_report_can_be_made_again_from_results(real_report: None, posts: Path) -> None:
    measured(posts)
    out = posts.parent / "again.html"
    assert report.main([str(posts.parent / "out" / "results.json"), "-o", str(out)]) == 0
    assert out.read_text(encoding="utf-8") == (posts.parent / "out" / "report.html").read_text(encoding="utf-8")


# --- the documentation -------------------------------------------------------------------------------------------------------------------------------

ROOT = Path(__file__).parent.parent
PARSERS = {"eval.run": run.parser_of, "eval.compare": compare.parser_of, "eval.stress": stress.parser_of}


@pytest.mark.parametrize("path", [ROOT / "docs" / "evaluation.md", ROOT / "eval" / "README.md"], ids=lambda p: p.name)
def test_documented_commands_are_understood(path: Path) -> None:
    """Each line that begins with `python -m eval.` is parsed by the command's own parser."""
    import shlex

    seen = 0
    for line in re.findall(r"^python -m (eval\.\w+ [^#\n]*)", path.read_text(encoding="utf-8"), re.M) + re.findall(r"`python -m (eval\.\w+ [^`]*)`", path.read_text(encoding="utf-8")):
        name, *arguments = shlex.split(line)
        if name in PARSERS:
            PARSERS[name]().parse_args(arguments)
            seen += 1
    assert seen >= 3


def test_documented_names_are_those_of_the_code() -> None:
    text = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    for name in ("text", "label", "groups", "protected", "side", "source", "cluster", "functionality", "language_is"):
        assert f"`{name}`" in text or f"{name}:" in text
    readme = (ROOT / "eval" / "README.md").read_text(encoding="utf-8")
    missing = [p.name for p in sorted((ROOT / "eval").glob("*.py")) if p.stem != "__init__" and f"`{p.name}`" not in readme and f"eval.{p.stem}" not in readme]
    assert not missing, f"eval/README.md does not name {', '.join(missing)}"
