"""Speed, memory and size of the default pipeline, beside a fp32 XLM-R-base-sized encoder in torch, in one run on one machine.

    python -m eval.benchmark [--texts 2048] [--json eval/results/benchmark.json]
    python -m eval.benchmark --memory assess                            # peak memory over files of 10,000 and 100,000 short posts; adds to the same file
    python -m eval.benchmark --memory eval.run --rows 20000 200000      # the same for an evaluation, with a classifier that costs nothing

The texts are real posts of six languages when the public data is at hand ($IPU_ATLAS), else the sentences of `eval/suites`. The encoder has random
weights: 12 layers x 768, 12 heads, feed-forward 3,072; batches of 32 sorted by length, the same texts, the same tokenizer and padding. Both run on
the same number of threads, in turns, and the median of the turns counts. To save time the encoder reads every eighth batch of the sorted texts, so that
its batches are as even in length as they would be with all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from statistics import median

import numpy as np

from ipu_moderation.batch import Row, assess_rows
from ipu_moderation.classifiers.compact import CompactClassifier
from ipu_moderation.language import identify
from ipu_moderation.moderator import Moderator
from ipu_moderation.normalise import normalise
from ipu_moderation.policy import load_policy
from ipu_moderation.resources import model_directory

ROOT = Path(__file__).parent.parent
SETS = ("en-hatexplain", "de-germeval2018", "es-offendes", "ar-osact5-2022", "hi-constraint2021", "zh-cold")


def texts(n: int) -> tuple[list[str], str]:
    """`n` texts and where they are from."""
    atlas = Path(os.environ.get("IPU_ATLAS", ROOT.parent / "shared" / "atlas"))
    if all((atlas / f"{name}.parquet").exists() for name in SETS):
        import pyarrow.parquet as pq

        each = -(-n // len(SETS))
        out = [t for name in SETS for t in islice((x for x in pq.read_table(atlas / f"{name}.parquet", columns=["text"])["text"].to_pylist() if x), each)]
        return out[:n], f"real posts of {', '.join(SETS)}"
    import yaml

    lines = [
        t.replace("{", "").replace("}", "")
        for p in sorted((ROOT / "eval/suites").glob("*.yaml"))
        for test in yaml.safe_load(p.read_text("utf-8"))["tests"]
        for t in test["templates"]
    ]
    return (lines * (n // len(lines) + 1))[:n], "sentences of eval/suites"


def fresh(code: str) -> dict[str, float]:
    """Run code in a new interpreter; it prints one JSON object. (Its peak memory is read from /proc: that of `getrusage` begins with its parent's.)
    Compiled modules are kept, as they are where the package is installed."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    return dict(json.loads(out.stdout))


def start() -> dict[str, float]:
    """Import time, heavy modules at import, and time from a new interpreter to the first decision, in seconds (median of three)."""
    light = """
import json, sys, time
began = time.perf_counter()
import ipu_moderation
from ipu_moderation import Moderator
print(json.dumps({"s": time.perf_counter() - began, "heavy": sum(m in sys.modules for m in ("torch", "transformers", "onnxruntime", "sklearn"))}))
"""
    first = """
import json, time
began = time.perf_counter()
from ipu_moderation import Moderator
moderator = Moderator.default()
moderator.decide(moderator.assess("Hello there"))
print(json.dumps({"s": time.perf_counter() - began}))
"""
    runs = [fresh(light) for _ in range(3)]
    return {"import_s": median(r["s"] for r in runs), "heavy_modules_at_import": runs[0]["heavy"], "cold_start_s": median(fresh(first)["s"] for _ in range(3))}


def peak(n: int) -> float:
    """Peak resident memory in MB of a new process that assesses `n` posts in batches."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "texts.json"
        path.write_text(json.dumps(texts(n)[0]))  # read from a list: what reads data sets takes memory of its own
        code = f"""
import json, re
from ipu_moderation import Moderator
m = Moderator.default()
for _ in m.assess_many(json.load(open({str(path)!r}))): pass
print(json.dumps({{"mb": int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024}}))
"""
        return fresh(code)["mb"]


def large_encoder(threads: int):
    """The comparison: an encoder of XLM-R-base's size with random weights (word vectors of our vocabulary: looking up costs the same)."""
    import torch
    from transformers import BertConfig, BertModel

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    return BertModel(BertConfig(vocab_size=100_000, hidden_size=768, num_hidden_layers=12, num_attention_heads=12, intermediate_size=3072), add_pooling_layer=False).eval()


def encode_large(model, batches: list[list[list[int]]]) -> float:
    """Seconds for all batches of token ids."""
    import torch

    began = time.perf_counter()
    with torch.inference_mode():
        for some in batches:
            t = torch.ones((len(some), max(map(len, some))), dtype=torch.long)
            mask = torch.zeros_like(t)
            for i, row in enumerate(some):
                t[i, : len(row)] = torch.tensor(row)
                mask[i, : len(row)] = 1
            model(input_ids=t, attention_mask=mask)
    return time.perf_counter() - began


def steps_of_hundredths(posts: list[str]) -> list[float]:
    """A classifier that costs nothing and knows nothing: what an evaluation needs besides its model shows with it."""
    return [len(t) * 37 % 101 / 100 for t in posts]


def memory(kind: str, rows: int, longest: int = 60) -> dict[str, float | str]:
    """Peak resident memory in MB, and posts/s, of a command in a new process over a CSV file of so many posts of at most `longest` characters:
    `assess` with the default classifier, or `eval.run` with one that costs nothing."""
    import csv

    some = [t for t in texts(10**7)[0] if len(t) <= longest]
    with tempfile.TemporaryDirectory() as directory:
        source = Path(directory) / "posts.csv"
        with source.open("w", newline="", encoding="utf-8") as f:
            writer = csv.writer(f)
            writer.writerow(["id", "text", "language", "hate"])
            writer.writerows((i, some[i % len(some)], ("ar", "de", "en", "es")[i % 4], ("yes", "no", "no")[i % 3]) for i in range(rows))
        entry, argv = {
            "assess": ("ipu_moderation.cli import app", ["assess", str(source), "-o", str(source.with_suffix(".jsonl"))]),
            "eval.run": ("eval.run import main", [str(source), "--model", "eval.benchmark:steps_of_hundredths", "--out", directory]),
        }[kind]
        code = f"""
import contextlib, io, json, re, sys
from {entry} as command
sys.argv = {[kind, *argv]!r}
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
    command()
print(json.dumps({{"mb": int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024}}))
"""
        began = time.perf_counter()
        out = fresh(code)
        return {"command": kind, "rows": rows, "different": min(rows, len(some)), "peak_rss_mb": round(out["mb"], 1), "posts_per_s": round(rows / (time.perf_counter() - began), 1)}


def stages(moderator: Moderator, some: list[str]) -> dict[str, float]:
    """Share of the time of each stage."""
    clock = time.perf_counter
    t0 = clock()
    views = [normalise(t) for t in some]
    t1 = clock()
    languages = [identify(v) for v in views]
    t2 = clock()
    for at in range(0, len(views), 256):
        moderator.classifier.score(views[at : at + 256], languages[at : at + 256])
    t3 = clock()
    for view, language in zip(views, languages, strict=True):
        moderator.rules.find(view, language)
    t4 = clock()
    spent = {"normalise": t1 - t0, "language": t2 - t1, "classifier": t3 - t2, "rules": t4 - t3}
    return {name: s / sum(spent.values()) for name, s in spent.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=2048)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--json", type=Path, default=ROOT / "eval/results/benchmark.json")
    parser.add_argument("--memory", choices=["assess", "eval.run"], metavar="COMMAND", help="measure the memory of a command over long files instead: assess or eval.run")
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    args = parser.parse_args()
    if args.memory:
        result = json.loads(args.json.read_text()) if args.json.exists() else {}
        kept = {(m["command"], m["rows"]): m for m in result.get("memory", [])}
        for rows in args.rows:
            m = kept[args.memory, rows] = memory(args.memory, rows)
            print(f"{args.memory}, {m['rows']:9,} rows ({m['different']:,} different posts): peak memory {m['peak_rss_mb']:.0f} MB, {m['posts_per_s']:.0f} posts/s", flush=True)
        args.json.write_text(json.dumps({**result, "memory": [kept[k] for k in sorted(kept)]}, indent=1) + "\n")
        return
    some, origin = texts(args.texts)
    moderator, policy = Moderator(CompactClassifier()), load_policy("cautious")
    rows = [Row(str(i), i, t) for i, t in enumerate(some)]
    list(assess_rows(rows[::8], moderator, policy))  # packs and programs of every language are loaded
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(model_directory() / "tokenizer.json"))
    ids = [e.ids for e in tokenizer.encode_batch_fast([normalise(t).model_view for t in some])]
    threads = len(os.sched_getaffinity(0))
    large = large_encoder(threads)
    ids = sorted((i[:128] for i in ids), key=len)
    few = [ids[at : at + 32] for at in range(0, len(ids), 32)][4::8]
    encode_large(large, few[:1])
    ours, theirs = [], []
    for _ in range(args.turns):
        began = time.perf_counter()
        for _row in assess_rows(rows, moderator, policy):
            pass
        ours.append(len(rows) / (time.perf_counter() - began))
        theirs.append(sum(map(len, few)) / encode_large(large, few))
    latency = []
    for t in some[:: max(1, len(some) // 400)]:
        began = time.perf_counter()
        moderator.decide(moderator.assess(t), policy)
        latency.append((time.perf_counter() - began) * 1000)
    result = {
        "texts": len(some), "origin": origin, "tokens_mean": float(np.mean([len(i) for i in ids])), "threads": threads,
        "machine": f"{platform.machine()}, {threads} cores",
        "posts_per_s": median(ours), "large_encoder_posts_per_s": median(theirs), "ratio": median(a / b for a, b in zip(ours, theirs, strict=True)),
        "latency_ms_median": median(latency), "latency_ms_p95": float(np.percentile(latency, 95)), "stages": stages(moderator, some), **start(), "peak_rss_mb": peak(args.texts),
        "model_mb": sum(p.stat().st_size for p in model_directory().iterdir()) / 1e6, "versions": dict(moderator.versions),
    }  # fmt: skip
    args.json.parent.mkdir(parents=True, exist_ok=True)
    if args.json.exists() and (kept := json.loads(args.json.read_text()).get("memory")):
        result["memory"] = kept
    args.json.write_text(json.dumps(result, indent=1) + "\n")
    print(f"{len(some):,} texts ({origin}), {result['tokens_mean']:.0f} tokens on average, {result['machine']}\n")
    for label, value in (
        ("full pipeline, batches", f"{result['posts_per_s']:.0f} posts/s"),
        ("fp32 XLM-R-base-sized encoder in torch", f"{result['large_encoder_posts_per_s']:.1f} posts/s"),
        ("ratio (median of turns)", f"{result['ratio']:.1f}"),
        ("one at a time, median / 95th percentile", f"{result['latency_ms_median']:.1f} / {result['latency_ms_p95']:.1f} ms"),
        ("share of time", ", ".join(f"{k} {v:.0%}" for k, v in result["stages"].items())),
        ("peak memory of a batch process", f"{result['peak_rss_mb']:.0f} MB"),
        ("import / from start to first decision", f"{result['import_s']:.2f} / {result['cold_start_s']:.2f} s"),
        ("model files", f"{result['model_mb']:.1f} MB"),
        ("peak memory of this process, both models", f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB"),
    ):
        print(f"{label:42s} {value}")


if __name__ == "__main__":
    main()
