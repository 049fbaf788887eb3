"""The mean of the weights of several networks of one descent, as a network to calibrate, to export or to go on from.

    python -m training.average .work/fourth .work/fifth --out .work/mean

What one round of training gained and what it gave up are often both halved, and the sum of it is better than either.
Source: Wortsman et al., Model soups, ICML 2022.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch


def average(directories: list[Path], out: Path) -> None:
    """Write the mean of the checkpoints to `out`; the logit offsets of data sets are left out, since each packing numbers its sets anew.

    Raises:
        SystemExit: when the networks have other parts or shapes.
    """
    total: dict[str, torch.Tensor] = {}
    for n, directory in enumerate(directories):
        state = {k: v for k, v in torch.load(directory / "checkpoint.pt", weights_only=True)["network"].items() if not k.startswith("offset")}
        if n and {k: v.shape for k, v in state.items()} != {k: v.shape for k, v in total.items()}:
            raise SystemExit(f"{directory} holds another network than {directories[0]}: average networks of one descent, trained with the same --freeze")
        total = {k: total[k] + v if n else v.clone() for k, v in state.items()}
    out.mkdir(parents=True, exist_ok=True)
    torch.save({"network": {k: v / len(directories) for k, v in total.items()}}, out / "checkpoint.pt")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", type=Path, nargs="+", help="directories with a checkpoint.pt")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    average(args.networks, args.out)
    print(f"{args.out}: the mean of {len(args.networks)} networks")


if __name__ == "__main__":
    main()
