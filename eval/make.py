"""`make eval`: measure everything that can be measured here, then rebuild every generated table.

    python -m eval.make                  # suites, public data when at hand, packs, stress, peers, speed, tables
    python -m eval.make --only suites tables

A step whose data is not at hand is passed over, says so, and leaves its committed results as they are.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from eval.atlas import ROWS, TABLE
from training.data import ATLAS

RESULTS = Path("eval/results")
_FRESH = "--fresh"


def steps() -> dict[str, tuple[list[str], tuple[Path, ...]]]:
    """Name -> (command, what must be there)."""
    development, train = ROWS / "development.parquet", ROWS / "train.parquet"
    return {
        "suites": (["eval.run", "--suites", "--save", str(RESULTS / "suites.json"), _FRESH], ()),
        "public": (["eval.atlas", _FRESH], (TABLE, ATLAS)),
        "packs": (["eval.packs"], ()),
        "stress": (["eval.stress", "--suites", "--save", str(RESULTS / "stress.json")], ()),
        "peers": (
            ["eval.compare", "default", f"tfidf:{train}", "profanity-check", "--data", str(development), "--show", "0", "--save", str(RESULTS / "peers.json")],
            (development, train),
        ),
        "benchmark": (["eval.benchmark"], ()),
        "tables": (["eval.tables"], ()),
    }


def main(arguments: list[str] | None = None) -> int:
    """The entry point."""
    parser = argparse.ArgumentParser(prog="python -m eval.make", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(steps()), metavar="STEP", help=f"some of: {', '.join(steps())}")
    args = parser.parse_args(arguments)
    for name, (command, needs) in steps().items():
        if args.only and name not in args.only:
            continue
        missing = [str(path) for path in needs if not path.exists()]
        if missing:
            print(f"{name}: passed over, {', '.join(missing)} is not here; the results that are committed stay", flush=True)
            continue
        print(f"{name}: python -m {' '.join(command)}", flush=True)
        if code := subprocess.run([sys.executable, "-m", *command], check=False).returncode:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
