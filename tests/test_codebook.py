"""The codebook says what the taxonomy says, in both languages."""

from __future__ import annotations

import pytest

from ipu_moderation.taxonomy import Category, TargetGroup
from training.codebook import codebook, main


def test_the_pages_in_the_docs_are_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0, capsys.readouterr().out


@pytest.mark.parametrize("language", ["en", "fr"])
def test_every_category_and_group_is_explained(language: str) -> None:
    page = codebook(language)
    for member in (*Category, *TargetGroup):
        assert f"`{member.value}`" in page
    assert (Category.HATE.guideline in page) == (language == "en")
    assert page.count("\n- ") == 2 * len(Category), "an example of each answer"
