"""Public data sets -> one clean table.

One Parquet file a data set, with the columns `id, text, lang, split, hate, abuse, violence, targets` (labels 0, 1 or null: not said), and a card
each in `index.yaml`. `training/sources.yaml` says for every set where it comes from, its licence, its mapping and how far its labels are trusted.

    python -m training.data --atlas ../shared/atlas --out .work/table.parquet

What happens to the rows: licence filter; the normaliser of the package; one row for texts that are equal but for case, digits, marks and masks
(labels averaged: disagreement becomes a soft label); a development split by hash of that same key, so that near copies never part; Latin-script
rows of Indic languages and Urdu become `hi-Latn` and so on.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import chain, repeat
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from ipu_moderation.normalise import VERSION as NORMALISER
from ipu_moderation.normalise import model_view
from ipu_moderation.taxonomy import TargetGroup

HERE = Path(__file__).parent
ATLAS = Path(os.environ.get("IPU_ATLAS", HERE.parent.parent / "shared" / "atlas"))
SHIPPABLE = ("permissive", "share-alike", "unstated")
LABELS = ("hate", "abuse", "violence")
DEV_SHARE = 0.08
"""Half of it calibrates, half reports (`half` column)."""

# Languages whose own script is not Latin: mostly Latin letters mean the romanised form.
ROMANISED = frozenset(["hi", "ur", "bn", "ta", "te", "ml", "kn", "mr", "ne", "si", "mni", "ar", "arz", "ary", "arq", "aeb", "apc"])
_TARGETS = {
    "gender": "gender", "race_ethnicity": "ethnicity", "religion": "religion", "lgbtq": "lgbtq", "nationality_migration": "nationality", "political": "political",
    "disability": "disability", "caste": "caste", "age": "age", "profession": "profession", "socioeconomic": "socioeconomic",
}  # fmt: skip
_GROUPS = [g.value for g in TargetGroup]
_NOT_KEY = re.compile(r"@USER|HTTPURL|EMAIL|PHONE|[\W\d_]+")
_LATIN, _LETTER = re.compile(r"[A-Za-z\u00c0-\u024f]"), re.compile(r"[^\W\d_]")


def sources() -> dict[str, dict]:
    """The data sets that may be trained on, by slug; `weight` is how far the labels are trusted, 0 to 1."""
    return {s["slug"]: s for s in yaml.safe_load((HERE / "sources.yaml").read_text(encoding="utf-8"))["data_sets"]}


def key(text: str) -> str:
    """What two copies of a post share: its letters, folded."""
    return _NOT_KEY.sub("", text).casefold()


def split_of(text_key: str) -> tuple[str, int]:
    """Train or dev by hash, and for dev the half (0 calibrates, 1 reports)."""
    h = int.from_bytes(hashlib.blake2b(text_key.encode("utf-8", "replace"), digest_size=8).digest(), "big")
    return ("dev" if h % 10_000 < DEV_SHARE * 10_000 else "train"), (h >> 32) & 1


def script_language(text: str, language: str) -> str:
    """`hi` -> `hi-Latn` for a row in Latin letters."""
    if language not in ROMANISED:
        return language
    letters = len(_LETTER.findall(text)) or 1
    return f"{language}-Latn" if len(_LATIN.findall(text)) / letters > 0.6 else language


def rows_of(slug: str, atlas: Path) -> list[dict]:
    """The rows of one data set, cleaned, not yet merged."""
    weight, out = sources()[slug]["weight"], []
    for row in pq.read_table(atlas / f"{slug}.parquet", columns=["text", "lang", *LABELS, "targets"]).to_pylist():
        text = model_view(row["text"] or "")
        text_key = key(text)
        if len(text_key) < 2 or "\N{REPLACEMENT CHARACTER}" in text:
            continue
        targets = [_GROUPS.index(_TARGETS[t]) for t in row["targets"] or () if t in _TARGETS]
        out.append({"text": text, "key": text_key, "lang": script_language(text, row["lang"]), "source": slug, "weight": weight, "targets": targets,
                    **{label: row[label] for label in LABELS}})  # fmt: skip
    return out


def rows(atlas: Path, licences: tuple[str, ...]) -> Iterator[dict]:
    """Rows of all training sets of these licence classes."""
    slugs = [slug for slug, card in sources().items() if card["licence_class"] in licences and card["weight"] > 0 and (atlas / f"{slug}.parquet").exists()]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        yield from chain.from_iterable(pool.map(rows_of, slugs, repeat(atlas)))


def merge(all_rows: Iterable[dict]) -> pa.Table:
    """One row for each key and language; labels averaged over those that say anything; the most trusted source lends text and name."""
    merged: dict[str, dict] = {}
    for row in all_rows:
        old = merged.setdefault(row["key"], {**row, "n": {label: [0.0, 0.0] for label in LABELS}, "groups": set()})
        if row["weight"] > old["weight"]:
            old.update(text=row["text"], lang=row["lang"], source=row["source"], weight=row["weight"])
        old["groups"].update(row["targets"])
        for label in LABELS:
            if row[label] is not None:
                old["n"][label][0] += row[label] * row["weight"]
                old["n"][label][1] += row["weight"]
    columns: dict[str, list] = {k: [] for k in ("text", "lang", "source", "weight", "split", "half", "targets", *LABELS)}
    for text_key, row in merged.items():
        split, half = split_of(text_key)
        for name, value in {**row, "split": split, "half": half, "targets": sorted(row["groups"])}.items():
            if name in columns and name not in LABELS:
                columns[name].append(value)
        for label in LABELS:
            total, weight = row["n"][label]
            columns[label].append(total / weight if weight else None)
    types = {"weight": pa.float32(), "half": pa.int8(), "targets": pa.list_(pa.int8()), **{label: pa.float32() for label in LABELS}}
    return pa.table({k: pa.array(v, types.get(k, pa.string())) for k, v in columns.items()})


def table_hash(table: pa.Table) -> str:
    """SHA-256 over texts and labels in order: what a model card names as its data."""
    h = hashlib.sha256(NORMALISER.encode())
    for name in ("text", *LABELS):
        for chunk in table[name].cast(pa.string()).to_pylist():
            h.update(repr(chunk).encode("utf-8", "replace"))
    return h.hexdigest()


def build(atlas: Path, licences: tuple[str, ...] = SHIPPABLE) -> pa.Table:
    """The clean table, in an order that depends on its content alone.

    Raises:
        FileNotFoundError: when there is no data set in the directory.
    """
    table = merge(rows(atlas, licences))
    if not table.num_rows:
        raise FileNotFoundError(f"{atlas}: none of the data sets of training/sources.yaml is here; name their directory with --atlas")
    return table.replace_schema_metadata({"sha256": table_hash(table), "normaliser": NORMALISER, "licences": ",".join(licences)})


def labels(table: pa.Table) -> np.ndarray:
    """(n_rows, 4): hate, abuse, violence, incitement; NaN where the data does not say. Incitement is hate and violence together."""
    y = np.stack([table[c].to_numpy(zero_copy_only=False).astype(np.float32) for c in LABELS], 1)
    hate, violence = y[:, 0], y[:, 2]
    with np.errstate(invalid="ignore"):
        incitement = np.where((hate < 0.5) | (violence < 0.5), 0.0, np.minimum(hate, violence))
    return np.column_stack([y, incitement]).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--atlas", type=Path, default=ATLAS, help="directory of the Parquet files (default: $IPU_ATLAS or %(default)s)")
    parser.add_argument("--out", type=Path, default=Path(".work/table.parquet"))
    parser.add_argument("--licences", default=",".join(SHIPPABLE), help="licence classes, comma-separated (default: %(default)s)")
    args = parser.parse_args()
    table = build(args.atlas, tuple(args.licences.split(",")))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, args.out, compression="zstd")
    y = labels(table)
    dev = np.array(table["split"].to_pylist()) == "dev"
    print(
        f"{args.out}: {table.num_rows:,} rows, {dev.sum():,} of them dev, {len(set(table['lang'].to_pylist()))} languages, sha256 {table.schema.metadata[b'sha256'].decode()[:16]}"
    )
    for i, name in enumerate((*LABELS, "incitement")):
        print(f"  {name:10s} {np.isfinite(y[:, i]).sum():9,} said, {np.nansum(y[:, i] > 0.5):8,.0f} yes")


if __name__ == "__main__":
    main()
