"""Which posts to label next: who is chosen and why, and that the random share is always there."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from conftest import write_tiny_model

from ipu_moderation.batch import Row
from ipu_moderation.classifiers.compact import CompactClassifier
from ipu_moderation.errors import InputError
from ipu_moderation.rules import RuleSet
from training import select
from training.data import key
from training.select import Candidate, candidates, choose, write


def pool(n: int = 200) -> list[Candidate]:
    rng = np.random.default_rng(0)
    return [Candidate(str(i), f"post {i}", "en", float(rng.random()), i % 20 == 0, rng.normal(size=8)) for i in range(n)]


def test_every_reason_is_used_and_no_post_twice() -> None:
    chosen = choose(pool(), 50)
    assert len(chosen) == len({post.id for post, _ in chosen}) == 50
    assert Counter(why for _, why in chosen) == {"random": 10, "uncertain": 20, "disagreement": 10, "different": 10}
    uncertain = [abs(post.top - 0.5) for post, why in chosen if why == "uncertain"]
    assert max(uncertain) < 0.12
    assert all(1 - p.top > 0.25 if p.raised else p.top - 0.5 > 0.25 for p, why in chosen if why == "disagreement")


def test_the_random_share_does_not_depend_on_scores() -> None:
    posts = pool()
    turned = [Candidate(p.id, p.text, p.language, 1 - p.top, not p.raised, -p.vector) for p in posts]
    one, other = ([p.id for p, why in choose(x, 50) if why == "random"] for x in (posts, turned))
    assert one == other
    assert one != [p.id for p, why in choose(posts, 50, seed=2) if why == "random"]


@pytest.mark.parametrize("share", [0.0, 0.05, 1.5])
def test_without_a_random_share_nothing_is_chosen(share: float) -> None:
    with pytest.raises(InputError, match="random share"):
        choose(pool(), 50, share)


def test_few_posts() -> None:
    assert choose([], 10) == []
    assert len(choose(pool(5), 10)) == 5


def test_different_posts_lie_far_apart() -> None:
    vectors = np.array([[1.0, 0], [0.99, 0.01], [0, 1.0], [-1.0, 0]])
    assert select._different(vectors, [0], 2) == [3, 2]


def test_copies_and_what_is_labelled_are_passed_over(tmp_path: Path) -> None:
    model = CompactClassifier(write_tiny_model(tmp_path / "tiny"))
    start = "this is how every post of the campaign begins, word for word, "
    rows = [Row("1", 1, "The kettle sings"), Row("2", 2, "the kettle SINGS!!"), Row("3", 3, "known already"), Row("4", 4, start + "one"), Row("5", 5, start + "two"), Row("6", 6, "12345")]
    found = candidates(rows, model, RuleSet([]), {key("Known already")})
    assert [c.id for c in found] == ["1", "4"]
    assert found[0].vector.shape == (128,)
    assert 0 <= found[0].top <= 1


def test_files(tmp_path: Path) -> None:
    chosen = choose(pool(), 20)
    write(chosen, tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [r["id"] for r in rows] == [p.id for p, _ in chosen]
    assert rows[0]["hate"] == ""
    write(chosen, tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text())[0]["data"]["chosen_by"] in ("random", "uncertain", "disagreement", "different")
    with pytest.raises(InputError, match="written as"):
        write(chosen, tmp_path / "a.xlsx")
