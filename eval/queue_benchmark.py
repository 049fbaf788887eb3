"""How fast the review queue is on this machine: hand over, claim and label, and `next` over a large database.

    python -m eval.queue_benchmark
    python -m eval.queue_benchmark --million
    python -m eval.queue_benchmark --url postgresql://postgres@127.0.0.1:5432/benchmark

Both the time on the wall and the processor's time of this process are given: on a machine that does other work the first says little.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from ipu_moderation.normalise import normalise
from ipu_moderation.review import audit
from ipu_moderation.review.queue import ReviewQueue
from ipu_moderation.review.store import Store, microseconds
from ipu_moderation.review.types import Post, Settings, Submission
from ipu_moderation.taxonomy import SCORED, Category, Tier
from ipu_moderation.types import Action, Assessment, Decision, Language, Score, Verdict

KEY = b"a key for the benchmark, 32 bytes"
LANGUAGES = ("en", "fr", "es", "ar", "sw", "hi", "pt", "ru", "zh", "ha")
WORDS = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in ("n", "r", "s", "lo", "ma")]


def submission(number: int, rng: random.Random) -> Submission:
    """A post of 15 words that mean nothing; one in ten repeats an earlier message, as campaigns do."""
    source = random.Random(rng.randrange(number + 1) // 10 if rng.random() < 0.1 else f"own {number} {rng.random()}")
    text = " ".join(source.choices(WORDS, k=15))
    scores = {c: Score(c, rng.random(), "measured") for c in SCORED}
    assessment = Assessment(normalise(text), Language(rng.choice(LANGUAGES), 0.9), scores, {}, (), Tier.INTERMEDIATE, {"model": "benchmark@1"}, False)
    return Submission(
        Post(f"post-{number}-{rng.getrandbits(40):x}", text, f"author-{rng.randrange(5000)}"),
        assessment,
        Decision(Action.REVIEW, rng.random(), Category.HATE, ("A score was high.",), "benchmark@1", {"model": "benchmark@1"}),
    )


def rate(n: int, work: Callable[[], None]) -> dict[str, float]:
    """How many a second, by the wall and by the processor."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    return {"n": n, "per_second": round(n / wall, 1), "per_processor_second": round(n / processor, 1)}


def fill(store: Store, n: int) -> None:
    """A database of `n` waiting items, made by the database itself and past the queue, since only its size matters here."""
    now = microseconds(store.clock())
    evidence = json.dumps({"reasons": ["A score was high."], "versions": {}, "context": {}, "assessment": None, "expires_after_seconds": None})
    if store.postgres:
        numbers, identity, share = "SELECT n FROM generate_series(1, :n) AS t(n)", "substr(md5(n::text), 1, 16)", "random()"
        blob, number = "convert_to('{}', 'UTF8')", "('x' || left(md5(id || k), 16))::bit(64)::bigint"
    else:
        numbers = "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < :n) SELECT n FROM t"
        identity, share, blob, number = (
            "printf('%016x', n * 2654435761 % 4294967296 * 65536 + n % 65536)",
            "(abs(random()) % 1000000 / 1000000.0)",
            "CAST('{}' AS BLOB)",
            "random()",
        )
    code = "CASE n % 10 " + " ".join(f"WHEN {i} THEN '{language}'" for i, language in enumerate(LANGUAGES)) + " END"
    no = "false" if store.postgres else "0"
    salt, text = blob.format("0" * 16), blob.format("words that mean nothing " * 4)
    statements = (
        f"""INSERT INTO items (id, kind, language, skill, category, tier, action, priority, policy, evidence, graphic, received, due, state, round, opinions, seen, second, copies,
            wordings, campaign, signature)
            SELECT {identity}, 'post', {code}, {code}, 'hate', 'intermediate', 'review', 0.5, 'benchmark@1', {blob.format(evidence)}, {no}, :now,
            CAST(:now + {share} * 259200000000 AS BIGINT), 'open', 0, 0, {no}, {no}, 1, 1, {identity}, {blob.format("s" * 256)} FROM ({numbers}) AS made""",
        f"""INSERT INTO posts (id, item, external, source, received, hold_open, salt, text, digest, likeness)
            SELECT id, id, 'filled-' || id, 'own_initiative', :now, {no}, {salt}, {text}, id, id FROM items ORDER BY id""",
        f"""INSERT INTO bands SELECT {number} AS band, id, :now FROM items,
            (SELECT 1 AS k UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5) AS five ORDER BY 1""",
    )
    for statement in statements:
        with store.write() as work:
            used = {name: value for name, value in (("n", n), ("now", now)) if f":{name}" in statement}
            work.execute(sa.text(statement.replace("::", "\\:\\:").replace('":', '"\\:')), used)


def measure(url: str, *, posts_in_all: int, cycles: int, filled: int, seed: int = 1) -> dict[str, Any]:
    """All figures over one database."""
    rng = random.Random(seed)
    out: dict[str, Any] = {
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "load": round(os.getloadavg()[0], 1)},
        "database": url.split(":")[0] if "://" in url else "sqlite",
    }
    with Store(url) as store:
        if filled:
            began = time.perf_counter()
            fill(store, filled)
            out["filled"] = {"items": filled, "seconds": round(time.perf_counter() - began)}
        queue = ReviewQueue(store, KEY, Settings(golden_share=0))
        batch = [submission(i, rng) for i in range(posts_in_all)]
        queue.submit_many(batch[:50])  # statements are compiled once
        out["enqueue_in_batches"] = rate(len(batch) - 50, lambda: queue.submit_many(batch[50:]) and None)
        single = [submission(i, rng) for i in range(posts_in_all // 5)]
        out["enqueue_one_by_one"] = rate(len(single), lambda: [queue.submit(s.post, s.assessment, s.decision) for s in single] and None)
        times: list[float] = []
        processor: list[float] = []

        def cycle() -> None:
            for i in range(cycles):
                reviewer = f"r{i % 8}"
                wall, own = time.perf_counter(), time.process_time()
                item = queue.claim(reviewer, ["en", "fr", "es"])
                times.append(time.perf_counter() - wall)
                processor.append(time.process_time() - own)
                if item is None:
                    raise RuntimeError("the queue ran empty: raise --posts")
                restrict = i % 5 == 0
                queue.label(Verdict(item.id, {Category.HATE: restrict}, restrict, reviewer))

        out["claim_and_label"] = rate(cycles, cycle)
        out["next_ms"] = {
            "median": round(1000 * statistics.median(times), 2), "p95": round(1000 * sorted(times)[int(0.95 * len(times))], 2),
            "median_of_processor": round(1000 * statistics.median(processor), 2), "n": len(times),
        }  # fmt: skip
        began = time.perf_counter()
        with store.read() as connection:
            found = audit.verify_chain(audit.entries(connection))
        out["verify"] = {"entries": found.entries, "sound": found.sound, "entries_per_second": round(found.entries / (time.perf_counter() - began))}
    return out


def main() -> None:
    """The entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="a database, empty at best (default: a new SQLite file that is deleted afterwards)")
    parser.add_argument("--posts", type=int, default=2000, help="posts to hand over (default: %(default)s)")
    parser.add_argument("--cycles", type=int, default=500, help="claims and verdicts (default: %(default)s)")
    parser.add_argument("--million", action="store_true", help="fill the database with a million items first")
    parser.add_argument("--filled", type=int, default=0, help="fill it with so many")
    parser.add_argument("--save", type=Path, help="write the figures as JSON")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        found = measure(args.url or str(Path(directory) / "queue.sqlite"), posts_in_all=args.posts, cycles=args.cycles, filled=1_000_000 if args.million else args.filled)
    text = json.dumps(found, indent=1)
    print(text)
    if args.save:
        args.save.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
