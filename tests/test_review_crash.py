"""Kill -9 at any moment: four processes claim, label, lapse and hand over posts and are killed again and again; nothing is lost, nobody is given what another holds."""

from __future__ import annotations

import datetime as dt
import os
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import sqlalchemy as sa
from test_review import KEY, submission, url  # noqa: F401

from ipu_moderation.errors import InputError
from ipu_moderation.review import audit
from ipu_moderation.review.queue import ReviewQueue
from ipu_moderation.review.schema import items, posts, verdicts
from ipu_moderation.review.store import Store
from ipu_moderation.review.types import Settings
from ipu_moderation.taxonomy import Category
from ipu_moderation.types import Action, Verdict

PROCESSES, OPERATIONS, KILLS = 4, 1000, 12
LEASE = dt.timedelta(seconds=2)
SETTINGS = Settings(lease=LEASE, second_share=0.3, golden_share=0)


def work(url: str, name: str, journal: Path) -> None:  # noqa: F811
    """One reviewer who never stops; each deed is written down after the queue said that it is done."""
    rng = random.Random(f"{name} {time.time_ns()}")
    queue = ReviewQueue(Store(url), KEY, SETTINGS)
    with journal.open("a", buffering=1) as said:
        while True:
            deed = rng.random()
            try:
                if deed < 0.1:
                    post = f"{name}-{time.time_ns()}"
                    queue.submit_many([submission(post, action=rng.choice([Action.REVIEW, Action.HOLD]), hours=1 / 3600)])
                    said.write(f"submit {post}\n")
                elif deed < 0.2:
                    queue.lapse()
                    said.write("lapse -\n")
                else:
                    item = queue.claim(name, ["en"])
                    said.write(f"claim {item.id if item else '-'}\n")
                    if item is not None and rng.random() < 0.9:
                        answer = rng.random() < 0.4
                        queue.label(Verdict(item.id, {Category.HATE: answer}, answer, name))
                        said.write(f"label {item.id}\n")
            except InputError as error:
                said.write(f"refused {error}\n")


def test_kill_at_any_moment(url, tmp_path):  # noqa: F811
    rng = random.Random(3)
    store = Store(url)
    queue = ReviewQueue(store, KEY, SETTINGS)
    first = [f"first-{i}" for i in range(400)]
    queue.submit_many([submission(post) for post in first])
    journals = [tmp_path / f"journal-{n}" for n in range(PROCESSES)]
    for journal in journals:
        journal.touch()

    def start(n: int) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
        return subprocess.Popen([sys.executable, __file__, url, f"r{n}", str(journals[n])], env=environment)

    def done() -> int:
        return sum(journal.read_bytes().count(b"\n") for journal in journals)

    running = [start(n) for n in range(PROCESSES)]
    killed, deadline = 0, time.monotonic() + 300
    try:
        while (done() < OPERATIONS or killed < KILLS) and time.monotonic() < deadline:
            time.sleep(rng.uniform(0.05, 0.4))
            if done() < OPERATIONS * (killed + 1) / (KILLS + 1):
                continue  # kills are spread over the operations
            n = rng.randrange(PROCESSES)
            assert running[n].poll() is None, f"process {n} stopped by itself"
            running[n].send_signal(signal.SIGKILL)
            running[n].wait()
            killed += 1
            running[n] = start(n)
    finally:
        for process in running:
            process.kill()
            process.wait()
    assert done() >= OPERATIONS
    assert killed >= KILLS

    said = [line.split(" ", 1) for journal in journals for line in journal.read_text().splitlines() if " " in line]
    labelled = {(line.split()[1], f"r{n}") for n, journal in enumerate(journals) for line in journal.read_text().splitlines() if line.startswith("label ")}
    submitted = {what for deed, what in said if deed == "submit"}
    with store.read() as connection:
        kept = {(row.item, row.reviewer) for row in connection.execute(sa.select(verdicts))}
        names = {row.external for row in connection.execute(sa.select(posts.c.external))}
        assert labelled <= kept  # no verdict is lost
        assert set(first) | submitted <= names  # no post is lost
        ids = {row.id for row in connection.execute(sa.select(items.c.id))}
        assert {row.item for row in connection.execute(sa.select(posts.c.item))} == ids  # no item without a post, no post without an item
        found = audit.verify(connection)
        assert found.faults == ()
        assert found.entries > OPERATIONS / 2

        # nobody was given what another held: read from the trail, in the order in which things happened
        holder: dict[str, tuple[str, str]] = {}
        spoken: dict[str, set[str]] = defaultdict(set)
        for entry in audit.entries(connection):
            if entry.kind == "claimed":
                who, until = holder.get(entry.item, ("", ""))
                assert until <= entry.at, f"{entry.item} was given to {entry.actor} while {who} held it"
                holder[entry.item] = (entry.actor, str(entry.body["until"]))
            elif entry.kind == "labelled":
                assert holder.pop(entry.item)[0] == entry.actor
                assert entry.actor not in spoken[entry.item]
                spoken[entry.item].add(entry.actor)
    # what was held by the killed comes back
    time.sleep(LEASE.total_seconds() + 0.1)
    with store.read() as connection:
        waiting = connection.execute(sa.select(sa.func.count()).where(items.c.state == "open")).scalar_one()
    if waiting:
        assert queue.claim("somebody new", ["en"]) is not None
    store.close()


if __name__ == "__main__":
    work(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
