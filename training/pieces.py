"""Pieces of words that trimming left out of a model's vocabulary: found in the posts of one language, and brought back from the pretrained file.

The encoder was trained over word vectors that nobody changed, so the vector of a piece that comes back fits as it is. Old pieces keep their ids, the new ones
stand behind them, and only the language that they were brought back for is tokenised with them: all other texts are read as before.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer

from ipu_moderation.classifiers.compact import EXTENDED, PIECES, check_files, extended_tokenizer, read_manifest, spelt
from ipu_moderation.errors import InputError
from ipu_moderation.types import Text
from training import graph, pretrained
from training.export import sha256


@dataclass(frozen=True, slots=True)
class Missing:
    """What the posts of a language need beyond the vocabulary of a model."""

    pieces: list[tuple[str, float]]
    """Piece and unigram log probability, the most frequent first."""
    raw: np.ndarray  # (n_pieces, bytes): 18 bytes a block of the word vector, as in the pretrained file
    share: float
    """Share of the tokens of the posts, as the whole vocabulary splits them, that these pieces are."""
    before: float
    """Tokens a post now."""
    after: float
    """Tokens a post with the pieces."""
    unknown: Counter[str]
    """Characters that the whole vocabulary does not know either, and how often they occur."""

    def words(self) -> str:
        """What a person should know of it, without any text."""
        unknown = f" {self.unknown.total():,} characters ({len(self.unknown):,} different ones) are in no pretrained vocabulary and stay unknown." if self.unknown else ""
        if not self.pieces:
            return f"The vocabulary of the model has all pieces that the whole pretrained one would use in these posts.{unknown}"
        return (
            f"{len(self.pieces):,} pieces of words that the model's vocabulary lacks are in the pretrained one: {self.share:.0%} of the tokens of these posts. "
            f"With them a post has {self.after:.0f} tokens instead of {self.before:.0f}.{unknown}"
        )


def missing(base: Path, language: str, texts: Sequence[Text], weights: pretrained.Pretrained | None = None) -> Missing:
    """Tokenise posts with the whole pretrained vocabulary, and list what the base lacks.

    Args:
        base: a model directory.
        language: that of the posts; pieces that the base already has for it are not missing.
        texts: the posts; doubtful spellings are read as the classifier would read them.
        weights: the pretrained file; read when None.

    Raises:
        FileNotFoundError: when the pretrained file is not installed, with the command that installs it.
        InputError: when the base was not made from this file.
        ModelError: when the base is damaged.
    """
    manifest = read_manifest(base)
    check_files(base, manifest)
    weights = weights or pretrained.read()
    plain = Tokenizer.from_file(str(base / "tokenizer.json"))
    known = extended_tokenizer(base, manifest["extended"][language]) if language in manifest.get("extended", {}) else plain
    whole = pretrained.tokenizer(weights)
    raw = weights.tensors["emb.word"][1].reshape(-1, weights.hidden // pretrained.BLOCK * 18)
    _same_vectors(base, plain, whole, raw, weights.hidden)
    have = known.get_vocab()
    used: Counter[int] = Counter()
    unknown: Counter[str] = Counter()
    views = spelt(whole, texts)
    for encoding, view in zip(whole.encode_batch(views, add_special_tokens=False), views, strict=True):
        used.update(encoding.ids)
        for i, (a, b) in zip(encoding.ids, encoding.offsets, strict=True):
            if i == pretrained.UNK:
                unknown.update(c for c in view[a:b] if not c.isspace())
    left = [i for i, _ in used.most_common() if i >= 4 and weights.pieces[i][0] not in have]
    n = max(1, len(texts))
    return Missing(
        [weights.pieces[i] for i in left], raw[left], sum(used[i] for i in left) / max(1, used.total()),
        sum(len(e.ids) for e in known.encode_batch_fast(spelt(known, texts))) / n, used.total() / n + 2, unknown,
    )  # fmt: skip


def _same_vectors(base: Path, plain: Tokenizer, whole: Tokenizer, raw: np.ndarray, hidden: int) -> None:
    """Compare the word vectors of the base with those of the file, piece by piece.

    Raises:
        InputError: when they differ.
    """
    values = _table(onnx.load(base / "model.onnx"))
    index, n = whole.get_vocab(), plain.get_vocab_size()
    ids = np.array([index.get(plain.id_to_token(i), -1) for i in range(n)])
    found = ids >= 0
    if values[0].shape[1] == hidden // 2:
        q, scale = graph.word_vectors(raw[ids[found]], hidden)
        if found.mean() > 0.99 and (q == values[0][:n][found]).all() and (scale.astype(np.float16) == values[1][:n][found]).all():
            return
    raise InputError(f"{base} has other word vectors than the pretrained file, so no piece of that file would fit it")


def _table(model: onnx.ModelProto) -> tuple[np.ndarray, np.ndarray]:
    """The word vectors of a model: (n, hidden / 2) bytes of two nibbles, and (n, hidden / 32) scales."""
    tensors = {t.name: t for t in model.graph.initializer}
    q = tensors["words.q"]
    return np.frombuffer(q.raw_data, np.uint8).reshape(q.dims[0], -1), numpy_helper.to_array(tensors["words.s"])


def extend(base: Path, out: Path, language: str, found: Missing) -> Path:
    """Write a copy of a model directory with the pieces behind its vocabulary, for texts of one language; the manifest last.

    A language that the base has pieces for keeps them; what was brought back for others before is used for this one too, so that ids stay in one row.

    Raises:
        ModelError: when the base is damaged.
    """
    manifest = read_manifest(base)
    check_files(base, manifest)
    out.mkdir(parents=True, exist_ok=True)
    (out / "manifest.json").unlink(missing_ok=True)
    for name in manifest["files"]:
        shutil.copyfile(base / name, out / name)
    added: list[tuple[str, float]] = [(p, s) for p, s in json.loads((base / PIECES).read_text("utf-8"))] if manifest.get("extended") else []
    have = {p for p, _ in added}
    new = [i for i, (p, _) in enumerate(found.pieces) if p not in have]
    added += [found.pieces[i] for i in new]
    model = onnx.load(base / "model.onnx")
    hidden = found.raw.shape[1] // 18 * 32
    q, scale = graph.word_vectors(found.raw[new], hidden)
    old_q, old_scale = _table(model)
    replaced = {
        "words.q": helper.make_tensor("words.q", TensorProto.INT4, [len(old_q) + len(new), hidden], np.concatenate([old_q, q]).tobytes(), raw=True),
        "words.s": numpy_helper.from_array(np.concatenate([old_scale, scale.astype(np.float16)]), "words.s"),
    }
    for tensor in model.graph.initializer:
        if tensor.name in replaced:
            tensor.CopyFrom(replaced[tensor.name])
    graph.save(model, out / "model.onnx")
    (out / PIECES).write_text(json.dumps(added, ensure_ascii=False), encoding="utf-8")
    manifest["format"] = EXTENDED
    manifest["extended"] = {**manifest.get("extended", {}), language: len(added)}
    manifest["files"] = {**manifest["files"], **{name: sha256(out / name) for name in ("model.onnx", PIECES)}}
    (out / "manifest.json").write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return out
