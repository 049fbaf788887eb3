"""`make model`: data -> vocabulary -> teacher -> student -> tuned student -> calibration -> export, each step restartable.

python -m training.make                    # everything that is not there yet, into .work and then ipu_moderation/data/model
python -m training.make --from student     # this step and those after it anew
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

WORK = Path(".work")
MODEL = Path("ipu_moderation/data/model")
TUNING = ("--freeze", "1", "--batch", "24", "--lr", "2e-4", "--resume")


def steps(teacher_steps: int, student_steps: int, tuned_steps: int) -> dict[str, tuple[Path, list[str], int]]:
    """Name -> (what it makes, command, processes)."""
    two = os.cpu_count() or 1
    return {
        "data": (WORK / "table.parquet", ["training.data"], 1),
        "pack": (WORK / "packed/meta.json", ["training.pack"], 1),
        "teacher": (WORK / "teacher/done", ["training.fit", "--out", str(WORK / "teacher"), "--steps", str(teacher_steps), "--batch", "16", "--resume"], two),
        "student": (
            WORK / "student/done",
            ["training.distil", "--teacher", str(WORK / "teacher"), "--out", str(WORK / "student"), "--steps", str(student_steps), "--batch", "16", "--resume"],
            two,
        ),
        "tuned": (
            WORK / "tuned/done",
            ["training.fit", "--init", str(WORK / "student"), "--out", str(WORK / "tuned"), *TUNING, "--steps", str(tuned_steps)],
            two,
        ),
        "calibrate": (WORK / "calibration.json", ["training.calibrate", "--network", str(WORK / "tuned")], 1),
        "export": (MODEL / "manifest.json", ["training.export", "--network", str(WORK / "tuned"), "--calibration", str(WORK / "calibration.json"), "--out", str(MODEL)], 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="first", help="do this step and all after it anew")
    parser.add_argument("--teacher-steps", type=int, default=1_200, help="of 32 examples (default: %(default)s)")
    parser.add_argument("--student-steps", type=int, default=1_500, help="of 32 examples (default: %(default)s)")
    parser.add_argument("--tuned-steps", type=int, default=10_500, help="of 48 examples (default: %(default)s)")
    args = parser.parse_args()
    plan = steps(args.teacher_steps, args.student_steps, args.tuned_steps)
    if args.first and args.first not in plan:
        parser.error(f"there is no step '{args.first}'; the steps are {', '.join(plan)}")
    anew = False
    for name, (product, command, processes) in plan.items():
        anew |= name == args.first
        if product.exists() and not anew:
            print(f"{name}: {product} is there")
            continue
        if anew and product.name == "done":
            shutil.rmtree(product.parent, ignore_errors=True)
        print(f"{name}: python -m {' '.join(command)}", flush=True)
        launcher = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes)] if processes > 1 else []
        environment = {**os.environ, "OMP_NUM_THREADS": "1"} if processes > 1 else None
        if subprocess.run([sys.executable, *launcher, "-m", *command], env=environment, check=False).returncode:
            return 1
        if product.name == "done":
            product.touch()
    return 0


if __name__ == "__main__":
    sys.exit(main())
