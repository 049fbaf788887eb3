"""Table and contrast data -> a vocabulary and token arrays, packed once and read by every later step.

python -m training.pack --table .work/table.parquet --out .work/packed
python -m training.pack --tokenizer xlm-roberta-base --out .work/packed-xlmr       # the same examples, for `training.fit --backbone xlm-roberta-base`
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from tokenizers import Tokenizer

from ipu_moderation.normalise import model_view
from ipu_moderation.taxonomy import TargetGroup
from training import contrast, pretrained
from training.data import ATLAS, key, labels, split_of, table_hash
from training.noise import obfuscate

MAX_TOKENS = 128
VOCABULARY = 96_000
PLAIN = "plain"
"""The source of everyday sentences, taken as harmless."""
NOISY = 0.15
"""Share of the examples that come a second time, in an evasive spelling."""
_GROUPS = [g.value for g in TargetGroup]


@dataclass(slots=True)
class Packed:
    """Token ids of all examples end to end, and what is known of each."""

    ids: np.ndarray  # (n_tokens,), uint32
    offsets: np.ndarray  # (n_examples + 1,)
    labels: np.ndarray  # (n_examples, 4), NaN unknown
    targets: np.ndarray  # (n_examples, n_groups), NaN unknown
    language: np.ndarray  # (n_examples,), index into meta["languages"]
    source: np.ndarray  # (n_examples,), index into meta["sources"]
    weight: np.ndarray  # (n_examples,)
    split: np.ndarray  # (n_examples,): 0 train, 1 dev that calibrates, 2 dev that reports, 3 noisy copy of train
    meta: dict

    def tokens(self, i: int, longest: int) -> np.ndarray:
        """The ids of one example, its closing mark kept when cut."""
        ids = self.ids[self.offsets[i] : self.offsets[i + 1]]
        return ids if len(ids) <= longest else np.concatenate([ids[: longest - 1], ids[-1:]])


def unlabelled(
    directory: Path, each: int = 700, names: tuple[str, ...] = ("parallel-ntrex128", "parallel-tatoeba-laser", "text-afrisenti", "text-xlmt-sentiment")
) -> Iterable[tuple[str, str]]:
    """Plain sentences (language, text) from the parallel texts, at most `each` a language and file."""
    for name in names:
        path, n = directory / f"{name}.jsonl.gz", Counter[str]()
        if not path.exists():
            continue
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                texts = row.get("texts") or {row.get("lang", "und"): row.get("text", "")}
                for language, text in texts.items():
                    if isinstance(text, str) and n[language] < each:
                        n[language] += 1
                        yield language, text


def plain(directory: Path, languages: Iterable[str], each: int = 700) -> Iterable[tuple[str, str]]:
    """Everyday sentences and news (language, text) of the languages that are trained on: where all data sets of a language were picked for being
    offensive, nothing else would tell what an ordinary sentence looks like."""
    wanted = set(languages)
    return ((language, text) for language, text in unlabelled(directory, each, ("parallel-ntrex128", "parallel-tatoeba-laser")) if language in wanted)


def choose_vocabulary(texts: Iterable[tuple[str, list[str]]], full: Tokenizer, size: int) -> np.ndarray:
    """Ids to keep: the pieces used most when every language counts alike by the square root of its size, and every single character that was seen."""
    total = np.zeros(full.get_vocab_size())
    for _, some in texts:
        counts = np.zeros_like(total)
        for encoding in full.encode_batch_fast(some, add_special_tokens=False):
            np.add.at(counts, encoding.ids, 1)
        total += counts / np.sqrt(max(counts.sum(), 1))
    total[:4] = np.inf
    pieces = full.get_vocab()
    for piece, i in pieces.items():
        if len(piece) == 1 and total[i] > 0:
            total[i] += 1e6
    return np.sort(np.argsort(-total, kind="stable")[:size])


def encode(texts: list[str], tokens: Tokenizer) -> tuple[np.ndarray, np.ndarray]:
    """Ids of all texts end to end, and (n_texts + 1,) offsets; a text that is cut keeps its closing mark."""
    ids, lengths = [], [0]
    for start in range(0, len(texts), 20_000):
        for encoding in tokens.encode_batch_fast([t[:2000] for t in texts[start : start + 20_000]]):
            some = encoding.ids if len(encoding.ids) <= MAX_TOKENS else [*encoding.ids[: MAX_TOKENS - 1], encoding.ids[-1]]
            ids.append(np.array(some, np.uint32))
            lengths.append(len(some))
    return np.concatenate(ids), np.cumsum(lengths)


def text_hash(texts: Iterable[str]) -> str:
    """What two packings of the same examples share."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode("utf-8", "replace") + b"\0")
    return digest.hexdigest()


def pack(table_path: Path, atlas: Path, out: Path, size: int = VOCABULARY, each: int = 12, seed: int = 7, other: Tokenizer | None = None) -> Packed:
    """Build everything and write it to `out`.

    Args:
        table_path: what `training.data` wrote.
        atlas: the directory of the data sets.
        out: where to.
        size: pieces that our tokenizer keeps.
        each: contrast sentences a frame.
        seed: examples of one seed are the same, whatever the tokenizer.
        other: the tokenizer of a backbone, in place of ours.
    """
    rng = random.Random(seed)
    table = pq.read_table(table_path)
    texts = table["text"].to_pylist()
    langs: list[str] = table["lang"].to_pylist()
    frames = contrast.expand(each, seed)
    frame_texts = [model_view(e.text) for e in frames]
    out.mkdir(parents=True, exist_ok=True)
    if other is None:
        by_language: dict[str, list[str]] = defaultdict(list)
        for language, text in [*zip(langs, texts, strict=True), *((e.language, t) for e, t in zip(frames, frame_texts, strict=True)), *unlabelled(atlas / "unlabelled")]:
            if len(by_language[language]) < 30_000:
                by_language[language].append(text)
        weights = pretrained.read()
        keep = choose_vocabulary(sorted(by_language.items()), pretrained.tokenizer(weights), size)
        tokens = pretrained.tokenizer(weights, keep)
        np.save(out / "keep.npy", keep)
    else:
        tokens = other
    tokens.save(str(out / "tokenizer.json"), pretty=False)

    y = labels(table)
    split = np.array([0 if s == "train" else 1 + h for s, h in zip(table["split"].to_pylist(), table["half"].to_pylist(), strict=True)], np.int8)
    targets = np.full((len(texts), len(_GROUPS)), np.nan, np.float32)
    for i, groups in enumerate(table["targets"].to_pylist()):
        if groups:
            targets[i] = 0
            targets[i, groups] = 1
    source_names: list[str] = table["source"].to_pylist()
    weight = table["weight"].to_numpy().astype(np.float32)

    frame_y = np.array([e.labels for e in frames], np.float32)
    frame_targets = np.zeros((len(frames), len(_GROUPS)), np.float32)
    for i, e in enumerate(frames):
        if e.target:
            frame_targets[i, _GROUPS.index(e.target)] = 1
        elif np.nan_to_num(e.labels[1], nan=1.0) > 0:
            frame_targets[i] = np.nan
    frame_split = np.array([e.split for e in frames], np.int8)
    texts += frame_texts
    langs += [e.language for e in frames]
    source_names += [f"contrast/{e.kind}" for e in frames]
    y, targets = np.concatenate([y, frame_y]), np.concatenate([targets, frame_targets])
    weight, split = np.concatenate([weight, np.ones(len(frames), np.float32)]), np.concatenate([split, frame_split])

    noisy = np.array([i for i in range(len(texts)) if split[i] == 0 and rng.random() < NOISY])
    texts += [model_view(obfuscate(texts[i], rng)) for i in noisy]
    langs += [langs[i] for i in noisy]
    source_names += [source_names[i] for i in noisy]
    y, targets, weight = np.concatenate([y, y[noisy]]), np.concatenate([targets, targets[noisy]]), np.concatenate([weight, weight[noisy]])
    split = np.concatenate([split, np.full(len(noisy), 3, np.int8)])

    ordinary = list({key(t): (language, t) for language, t in plain(atlas / "unlabelled", sorted(set(langs)))}.values())
    texts += [model_view(t) for _, t in ordinary]
    langs += [language for language, _ in ordinary]
    source_names += [PLAIN] * len(ordinary)
    y, targets = np.concatenate([y, np.zeros((len(ordinary), y.shape[1]), np.float32)]), np.concatenate([targets, np.full((len(ordinary), len(_GROUPS)), np.nan, np.float32)])
    weight = np.concatenate([weight, np.full(len(ordinary), 0.7, np.float32)])
    split = np.concatenate([split, np.array([0 if part == "train" else 1 + h for part, h in (split_of(key(t)) for _, t in ordinary)], np.int8)])

    ids, offsets = encode(texts, tokens)
    languages, sources = sorted(set(langs)), sorted(set(source_names))
    meta = {
        "languages": languages, "sources": sources, "data_sha256": table_hash(table), "rows": table.num_rows, "contrast": len(frames), "plain": len(ordinary),
        "vocabulary": tokens.get_vocab_size(), "seed": seed, "texts_sha256": text_hash(texts),
    }  # fmt: skip
    language_of, source_of = {name: i for i, name in enumerate(languages)}, {name: i for i, name in enumerate(sources)}
    packed = Packed(
        ids, offsets, y.astype(np.float32), targets.astype(np.float32), np.array([language_of[x] for x in langs], np.int16),
        np.array([source_of[x] for x in source_names], np.int16), weight.astype(np.float32), split, meta,
    )  # fmt: skip
    save(packed, out)
    return packed


_ARRAYS = ("ids", "offsets", "labels", "targets", "language", "source", "weight", "split")


def save(packed: Packed, directory: Path) -> None:
    """Write what `load` reads, beside the tokenizer."""
    for name in _ARRAYS:
        np.save(directory / f"{name}.npy", getattr(packed, name))
    (directory / "meta.json").write_text(json.dumps(packed.meta, indent=1))


def load(directory: Path) -> Packed:
    """Read what `pack` wrote, arrays mapped from disk."""
    arrays = {name: np.load(directory / f"{name}.npy", mmap_mode="r") for name in _ARRAYS}
    return Packed(**arrays, meta=json.loads((directory / "meta.json").read_text()))


def sample(packed: Packed, split: int, each: int, seed: int = 3, each_contrast: int = 6) -> np.ndarray:
    """At most `each` development rows a language and data set, of one half, and `each_contrast` a language and kind of contrast sentence."""
    rng = np.random.default_rng(seed)
    cell = packed.language.astype(np.int64) * 4096 + packed.source
    rows = np.flatnonzero(packed.split == split)
    rng.shuffle(rows)
    most = np.array([each_contrast if s.startswith("contrast/") else each for s in packed.meta["sources"]])
    kept: list[int] = []
    seen: dict[int, int] = {}
    for row in rows:
        c = int(cell[row])
        if seen.get(c, 0) < most[packed.source[row]]:
            seen[c] = seen.get(c, 0) + 1
            kept.append(row)
    return np.sort(np.array(kept))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, default=Path(".work/table.parquet"))
    parser.add_argument("--atlas", type=Path, default=ATLAS)
    parser.add_argument("--out", type=Path, default=Path(".work/packed"))
    parser.add_argument("--vocabulary", type=int, default=VOCABULARY)
    parser.add_argument("--tokenizer", help="directory or hub id of a backbone, whose tokenizer takes the place of ours")
    args = parser.parse_args()
    other = None
    if args.tokenizer:
        from training.backbone import tokenizer

        other = tokenizer(args.tokenizer)
    packed = pack(args.table, args.atlas, args.out, args.vocabulary, other=other)
    length = np.diff(packed.offsets)
    print(f"{args.out}: {len(length):,} examples, {packed.meta['contrast']:,} of them contrast, {length.mean():.1f} tokens on average, vocabulary {packed.meta['vocabulary']:,}")


if __name__ == "__main__":
    main()
