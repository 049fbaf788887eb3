"""Public data -> rows to measure on, and the figures on them.

    python -m eval.atlas                        # eval/results/development.json and functional.json
    python -m eval.atlas --rows-only            # only the rows, under .work/eval, for eval.run, eval.compare and eval.stress

Development: the reporting half of the development rows of the table that `training.data` made; no training and no calibration saw them. Functional: public
functional tests ($IPU_ATLAS), which nothing was trained on; where native readers contradict the author of a case, the case is left out. The language is
given, not identified. Rows stay under .work; the results hold figures alone.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from eval.data import hash_of
from eval.run import run_command
from ipu_moderation.errors import InputError
from ipu_moderation.taxonomy import TargetGroup
from training.data import _TARGETS as TARGETS
from training.data import ATLAS, labels, script_language

TABLE = Path(".work/table.parquet")
ROWS = Path(".work/eval")
RESULTS = Path(__file__).parent / "results"
EACH = 120
"""Rows of a language and data set at most, chosen by hash: a few large sets would drown the others, and take hours."""
CASES = 1_500
"""Cases of a functional test file at most, chosen by hash."""
TRAIN = 40_000
"""Rows on which baselines are fitted."""
FUNCTIONAL = ("sghatecheck-ms", "sghatecheck-ss", "sghatecheck-ta", "sghatecheck-zh", "hi-hatecheckhin", "en-hatemojicheck")
_GROUPS = [g.value for g in TargetGroup]
_CATEGORIES = ("hate", "abuse", "violence", "incitement")
_WORDS = ("source", "functionality", "cluster")
_SCHEMA = pa.schema(
    [*((n, pa.string()) for n in ("id", "text", "language", *_WORDS)), *((c, pa.int8()) for c in _CATEGORIES), ("groups", pa.list_(pa.string()))],
)


def table_rows(path: Path, split: str, each: int | None = None, most: int | None = None) -> Iterator[dict[str, Any]]:
    """Rows of the training table of one split (of `dev`, the reporting half), the same ones every time.

    Raises:
        InputError: when the table is missing.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file. Make it with: python -m training.data")
    table = pq.read_table(path)
    y = labels(table)  # (n_rows, 4), averaged over sources: a half is a tie
    answers = np.where(np.isnan(y) | (np.abs(y - 0.5) < 0.1), -1, y > 0.5).astype(int)
    splits, halves = np.array(table["split"].to_pylist()), table["half"].to_numpy()
    rows = np.flatnonzero((splits == split) & ((halves == 1) | (split != "dev")) & (answers.max(1) >= 0))
    texts, languages, sources, targets = (table.column(c) for c in ("text", "lang", "source", "targets"))
    order = sorted(rows.tolist(), key=lambda i: hash_of(texts[i].as_py()))
    seen: Counter[tuple[str, str]] = Counter()
    given = 0
    for i in order:
        language, source = languages[i].as_py(), sources[i].as_py()
        seen[language, source] += 1
        if (each is not None and seen[language, source] > each) or (most is not None and given >= most):
            continue
        given += 1
        known = {c: None if answers[i, j] < 0 else int(answers[i, j]) for j, c in enumerate(_CATEGORIES)}
        yield {"id": str(i), "text": texts[i].as_py(), "language": language, **known, "groups": [_GROUPS[g] for g in targets[i].as_py()], "source": source}


def functional_rows(atlas: Path) -> Iterator[dict[str, Any]]:
    """Cases of the public functional tests that are at hand.

    Raises:
        InputError: when none is.
    """
    found = [slug for slug in FUNCTIONAL if (atlas / f"{slug}.parquet").is_file()]
    if not found:
        raise InputError(f"{atlas}: none of {', '.join(FUNCTIONAL)} is here. Name their directory with --atlas or $IPU_ATLAS")
    for slug in found:
        cases = pq.read_table(atlas / f"{slug}.parquet").to_pylist()
        for row in sorted(cases, key=lambda case: hash_of(case["text"] or ""))[:CASES]:
            extra = json.loads(row["extra"]) if row["extra"] else {}
            if row["hate"] is None or not row["text"] or extra.get("human") not in (None, "hateful" if int(row["hate"]) else "non-hateful"):
                continue
            test = extra.get("functionality") or f"{slug}/{re.split(r'[ |]', row['raw_label'])[0]}"
            template = extra.get("template_id")
            yield {
                "id": f"{slug}/{row['id']}", "text": row["text"], "language": script_language(row["text"], row["lang"]), "hate": int(row["hate"]), "source": slug,
                "groups": [TARGETS[t] for t in row["targets"] or () if t in TARGETS], "functionality": test, "cluster": f"{slug}/{template}" if template else None,
            }  # fmt: skip


def write_rows(rows: Iterable[dict[str, Any]], path: Path) -> int:
    """Rows into a Parquet file whose columns `eval.run` knows by name; how many."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(list(rows), schema=_SCHEMA)
    empty = [c for c in table.column_names if c != "text" and table[c].null_count == len(table)]
    pq.write_table(table.drop_columns(empty), path, compression="zstd")
    return len(table)


def parser_of() -> argparse.ArgumentParser:
    """The flags."""
    parser = argparse.ArgumentParser(prog="python -m eval.atlas", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, default=TABLE, help="as training.data wrote it (default: %(default)s)")
    parser.add_argument("--atlas", type=Path, default=ATLAS, help="directory of the public files (default: $IPU_ATLAS or shared/atlas beside the clone)")
    parser.add_argument("--out", type=Path, default=ROWS, help="where rows go (default: %(default)s)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where figures go (default: eval/results)")
    parser.add_argument("--each", type=int, default=EACH, help="development rows of a language and data set at most (default: %(default)s)")
    parser.add_argument("--train", type=int, default=TRAIN, help="rows for fitting baselines (default: %(default)s)")
    parser.add_argument("--model", default="default")
    parser.add_argument("--rows-only", action="store_true")
    parser.add_argument("--fresh", action="store_true", help="throw away what an earlier run has scored")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """The entry point."""
    args = parser_of().parse_args(arguments)

    def go() -> int:
        development, functional = args.out / "development.parquet", args.out / "functional.parquet"
        print(f"{development}: {write_rows(table_rows(args.table, 'dev', args.each), development):,} rows")
        print(f"{args.out / 'train.parquet'}: {write_rows(table_rows(args.table, 'train', most=args.train), args.out / 'train.parquet'):,} rows")
        print(f"{functional}: {write_rows(functional_rows(args.atlas), functional):,} rows", flush=True)
        for path in () if args.rows_only else (development, functional):
            # a process each: the memory that a run reports is its own
            save = args.results / f"{path.stem}.json"
            command = [sys.executable, "-m", "eval.run", str(path), "--model", args.model, "--save", str(save), *(["--fresh"] if args.fresh else [])]
            if code := subprocess.run(command, check=False).returncode:
                return code
        return 0

    return run_command(go)


if __name__ == "__main__":
    sys.exit(main())
