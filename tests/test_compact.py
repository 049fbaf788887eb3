"""The default classifier over a tiny model directory: windows, calibration, modes, and every directory that it must refuse."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import MAX_TOKENS, MAX_WINDOWS, STRIDE

from ipu_moderation.classifiers import Classifier, Scores
from ipu_moderation.classifiers.compact import BATCH, EXTENDED, FORMAT, CompactClassifier, read_manifest
from ipu_moderation.errors import ModelError
from ipu_moderation.normalise import VERSION, normalise
from ipu_moderation.taxonomy import SCORED, Category, TargetGroup
from ipu_moderation.types import Language

EN, FR = Language("en", 1.0), Language("fr", 1.0)
TEXTS = [f"{'left-handers and ' * (n % 3)}cyclists met at {n} o'clock" for n in range(BATCH + 9)]
LAST_BITS = {"rtol": 0, "atol": 2e-5}


@pytest.fixture(scope="module")
def compact(tiny_model: Path) -> CompactClassifier:
    return CompactClassifier(tiny_model, threads=1)


def scores(classifier: Classifier, texts: list[str], language: Language | list[Language] = EN) -> Scores:
    return classifier.score([normalise(t) for t in texts], language if isinstance(language, list) else [language] * len(texts))


# ------------------------------------------------------------------------------------------------------------------------ scores


def test_it_is_a_classifier(compact: CompactClassifier) -> None:
    assert isinstance(compact, Classifier)
    assert compact.name == "tiny@1"
    assert compact.languages == {"en", "fr"}


def test_scores_have_the_right_shape_and_range(compact: CompactClassifier) -> None:
    found = scores(compact, TEXTS)
    assert found.categories.shape == (len(TEXTS), len(SCORED))
    assert found.targets.shape == (len(TEXTS), len(TargetGroup))
    assert found.truncated.shape == (len(TEXTS),)
    assert ((found.categories > 0) & (found.categories < 1)).all()
    assert found.categories.std(0).min() > 1e-3  # the tiny model tells texts apart, so that the tests below can fail


def test_nothing_in_nothing_out(compact: CompactClassifier) -> None:
    found = scores(compact, [])
    assert found.categories.shape == (0, len(SCORED))
    assert found.targets.shape == (0, len(TargetGroup))


@pytest.mark.parametrize("text", ["", " ", "\0", "\ud800", "汉字", "<s></s><pad>", "z" * 50_000], ids=["empty", "space", "NUL", "surrogate", "unknown letters", "marks of the tokenizer", "long"])
def test_any_text_has_scores(text: str, compact: CompactClassifier) -> None:
    assert np.isfinite(scores(compact, [text, "cyclists"]).categories).all()


@pytest.mark.parametrize("weights", ["fp32", "int4", "int8"])
def test_a_score_does_not_depend_on_batch_order_or_mode(weights: str, model_at: Callable[..., Path]) -> None:
    """Also: one text at a time goes through the session for latency, many through the one for throughput."""
    classifier = CompactClassifier(model_at(weights=weights), threads=1)
    together, reverse = scores(classifier, TEXTS), scores(classifier, TEXTS[::-1])
    alone = [scores(classifier, [t]) for t in TEXTS[::6]]
    np.testing.assert_allclose(reverse.categories[::-1], together.categories, **LAST_BITS)
    np.testing.assert_allclose(np.concatenate([s.categories for s in alone]), together.categories[::6], **LAST_BITS)
    np.testing.assert_allclose(np.concatenate([s.targets for s in alone]), together.targets[::6], **LAST_BITS)


def test_threads_do_not_change_a_score(tiny_model: Path, compact: CompactClassifier) -> None:
    np.testing.assert_allclose(scores(CompactClassifier(tiny_model, threads=2), TEXTS).categories, scores(compact, TEXTS).categories, **LAST_BITS)


def test_a_pickle_is_a_path(compact: CompactClassifier, tiny_model: Path) -> None:
    copy = pickle.loads(pickle.dumps(compact))
    assert (copy.directory, copy.threads, len(pickle.dumps(compact)) < 500) == (tiny_model, 1, True)


# ----------------------------------------------------------------------------------------------------------------- calibration


def logit(p: np.ndarray) -> np.ndarray:
    return np.log(p / (1 - p))


@pytest.mark.parametrize(
    ("code", "slope", "shift"),
    [("en", 1.0, 0.0), ("und", 1.0, 0.0), ("fr", 0.5, 1.0), ("fr-CA", 0.5, 1.0), ("pt", 2.0, 0.5), ("pt-BR", 0.25, 0.0), ("pt-Latn-PT", 2.0, 0.5)],
)
def test_each_language_has_its_line(code: str, slope: float, shift: float, model_at: Callable[..., Path]) -> None:
    table = {"*": [[1.0, 0.0]] * 4, "fr": [[0.5, 1.0]] * 4, "pt": [[2.0, 0.5]] * 4, "pt-BR": [[0.25, 0.0]] * 4}
    classifier = CompactClassifier(model_at(calibration=table), threads=1)
    plain = scores(classifier, TEXTS[:5], Language("xx", 1.0)).categories
    np.testing.assert_allclose(logit(scores(classifier, TEXTS[:5], Language(code, 1.0)).categories), slope * logit(plain) + shift, atol=1e-3)


def test_languages_of_one_batch_are_calibrated_apart(compact: CompactClassifier) -> None:
    mixed = scores(compact, TEXTS[:6], [EN, FR] * 3).categories
    np.testing.assert_allclose(mixed[::2], scores(compact, TEXTS[:6]).categories[::2], **LAST_BITS)
    np.testing.assert_allclose(mixed[1::2], scores(compact, TEXTS[:6], FR).categories[1::2], **LAST_BITS)


@pytest.mark.parametrize(
    ("code", "category", "measured"),
    [("en", "hate", True), ("en", "incitement", True), ("fr", "hate", True), ("fr", "abuse", False), ("en-GB", "hate", True), ("fr-CA", "abuse", False), ("es-419", "hate", False),
     ("en-Latn", "hate", False), ("sw", "hate", False), ("und", "hate", False), ("en", "defamation_risk", False)],
)  # fmt: skip
def test_what_was_measured(code: str, category: str, measured: bool, compact: CompactClassifier) -> None:
    assert compact.measured(code, category) is measured


# --------------------------------------------------------------------------------------------------------------------- windows

ROOM = MAX_TOKENS - 2  # a window's tokens without its two marks
FULL = ROOM + (MAX_WINDOWS - 1) * (ROOM - STRIDE)


def word(tokens: int) -> str:
    """A text of so many tokens: a word-start, then a token a letter."""
    return ("abcdefghij" * (tokens // 10 + 1))[: tokens - 1]


@pytest.mark.parametrize(
    ("tokens", "windows", "truncated"),
    [(2, 1, False), (ROOM, 1, False), (ROOM + 1, 2, False), (2 * ROOM - STRIDE, 2, False), (2 * ROOM - STRIDE + 1, 3, False), (FULL, MAX_WINDOWS, False), (FULL + 1, MAX_WINDOWS, True), (2000, MAX_WINDOWS, True)],
)
def test_long_texts_are_read_in_windows(tokens: int, windows: int, truncated: bool, compact: CompactClassifier) -> None:
    cut = np.zeros(1, bool)
    found, owner = compact._windows(compact._load()[1], [normalise(word(tokens))], cut)
    assert len(found) == windows
    assert owner.tolist() == [0] * windows
    assert max(map(len, found)) <= MAX_TOKENS
    assert bool(cut[0]) is truncated
    assert scores(compact, [word(tokens)]).truncated.tolist() == [truncated]
    if not truncated:  # every token is read, in order, with the overlap that the manifest says
        read = found[0][1:-1] + [t for w in found[1:] for t in w[1:-1][STRIDE:]]
        assert read == compact._load()[1].encode(word(tokens)).ids[1:-1]


def test_the_highest_window_counts(compact: CompactClassifier) -> None:
    text = word(FULL)
    tokenizer = compact._load()[1]
    windows, _ = compact._windows(tokenizer, [normalise(text)], np.zeros(1, bool))
    each = np.stack([one_window(compact, w) for w in windows])
    np.testing.assert_allclose(scores(compact, [text]).categories[0], each.max(0), **LAST_BITS)


def one_window(classifier: CompactClassifier, ids: list[int]) -> np.ndarray:
    session = classifier._load()[0]["latency"]
    logits = session.run(["categories"], {"input_ids": np.array([ids]), "attention_mask": np.ones((1, len(ids)), np.int64)})[0][0]
    out: np.ndarray = 1 / (1 + np.exp(-logits))
    return out


def test_a_long_text_does_not_disturb_its_neighbours(compact: CompactClassifier) -> None:
    np.testing.assert_allclose(scores(compact, ["cyclists", word(400), "left-handers"]).categories[[0, 2]], scores(compact, ["cyclists", "left-handers"]).categories, **LAST_BITS)


def test_what_lies_beyond_any_window_is_not_tokenised(compact: CompactClassifier) -> None:
    assert scores(compact, ["many words " * 50_000, "few words"]).truncated.tolist() == [True, False]


# ------------------------------------------------------------------------------------------------- directories that are refused

LINES = [[1.0, 0.0]] * len(SCORED)

MANIFESTS: list[tuple[str, dict[str, Any], str]] = [
    ("an older format", {"format": FORMAT - 1}, f"has format {FORMAT - 1}; this version of the package reads formats {FORMAT} and {EXTENDED}. Export the model anew"),
    ("a newer format", {"format": EXTENDED + 1}, f"has format {EXTENDED + 1}"),
    ("no format", {"format": None}, "has format None"),
    ("another normaliser", {"normaliser": "0"}, rf"was made with normaliser 0; this package has {VERSION}, and scores would be wrong"),
    ("other categories", {"heads": ["toxicity"]}, "other categories or target groups"),
    ("categories in another order", {"heads": [c.value for c in reversed(SCORED)]}, "other categories or target groups"),
    ("other groups", {"targets": ["cyclists"]}, "other categories or target groups"),
    ("no general line", {"calibration": {"en": LINES}}, "calibration cannot be used"),
    ("a line too few", {"calibration": {"*": LINES[1:]}}, "calibration cannot be used"),
    ("a line that is none", {"calibration": {"*": LINES, "fr": [["steep", 0]] * 4}}, "calibration cannot be used"),
    ("a line without end", {"calibration": {"*": LINES, "fr": [[float("nan"), 0]] * 4}}, "calibration cannot be used"),
    ("measured without heads", {"measured": ["en"]}, "measured cannot be used"),
    ("measured in what it does not score", {"measured": {"en": ["kindness"]}}, "measured cannot be used"),
    ("windows without room", {"max_tokens": 8, "stride": 6}, "max_tokens, stride or max_windows cannot be used"),
    ("windows of words", {"max_windows": "many"}, "max_tokens, stride or max_windows cannot be used"),
    ("files that are not told", {"files": {}}, "files cannot be used"),
]


@pytest.mark.parametrize(("changes", "message"), [m[1:] for m in MANIFESTS], ids=[m[0] for m in MANIFESTS])
def test_a_foreign_manifest_is_refused(changes: dict[str, Any], message: str, tiny_model: Path, tmp_path: Path) -> None:
    manifest = json.loads((tiny_model / "manifest.json").read_text(encoding="utf-8"))
    (tmp_path / "manifest.json").write_text(json.dumps({**manifest, **changes}), encoding="utf-8")
    with pytest.raises(ModelError, match=message) as caught:
        CompactClassifier(tmp_path)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("field", ["name", "version", "normaliser", "heads", "targets", "max_tokens", "stride", "max_windows", "calibration", "measured", "files"])
def test_a_manifest_that_lacks_something_says_what(field: str, tiny_model: Path, tmp_path: Path) -> None:
    manifest = json.loads((tiny_model / "manifest.json").read_text(encoding="utf-8"))
    del manifest[field]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(ModelError, match=f"lacks {field}. Export the model anew"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", "null", '"model"', "\0"])
def test_a_manifest_that_is_none(content: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(content, encoding="utf-8")
    with pytest.raises(ModelError, match="is damaged|has format None"):
        CompactClassifier(tmp_path)


def test_bytes_that_are_no_manifest(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(ModelError, match="is damaged"):
        CompactClassifier(tmp_path)


def test_a_missing_directory_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no model directory.*python -m training.export"):
        CompactClassifier(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [(lambda p: p.unlink(), "lacks {}"), (lambda p: p.write_bytes(p.read_bytes()[:-1]), "{} is damaged"), (lambda p: p.write_bytes(p.read_bytes() + b" "), "{} is damaged"), (lambda p: p.write_bytes(b""), "{} is damaged")],
    ids=["missing", "short", "long", "empty"],
)
def test_a_damaged_file_is_refused_when_the_classifier_is_made(name: str, damage: Any, message: str, model_at: Callable[..., Path]) -> None:
    directory = model_at()
    damage(directory / name)
    with pytest.raises(ModelError, match=message.format(name)):
        CompactClassifier(directory)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_file_of_another_kind_under_a_right_sum_is_refused_when_it_is_loaded(name: str, model_at: Callable[..., Path]) -> None:
    import hashlib

    directory = model_at()
    (directory / name).write_bytes(b"{}")
    manifest = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
    manifest["files"][name] = hashlib.sha256(b"{}").hexdigest()
    (directory / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(ModelError, match="cannot be loaded"):
        scores(CompactClassifier(directory), ["cyclists"])


# ----------------------------------------------------------------------------------------------------- the model that ships


def test_the_model_that_ships(default_model: Callable[[], Path]) -> None:
    directory = default_model()
    classifier = CompactClassifier()
    assert classifier.directory == directory
    assert {"en", "ar", "hi"} <= set(classifier.manifest["measured"])
    assert {s["licence"] for s in classifier.manifest["sources"]}
    assert sum(p.stat().st_size for p in directory.iterdir()) < 40e6
    found = scores(classifier, ["What a lovely day for a ride.", "I will kill you, you worthless idiot."]).categories
    assert found[0].max() < 0.5
    assert found[1, [SCORED.index(Category.ABUSE), SCORED.index(Category.VIOLENCE)]].min() > 0.5
