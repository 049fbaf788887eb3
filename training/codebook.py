"""The codebook for annotators, in English and French, made from the taxonomy: what is labelled is what is measured and served.

python -m training.codebook            # writes docs/codebook.en.md and docs/codebook.fr.md
python -m training.codebook --check    # exit code 1 when one is not what the taxonomy says
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import yaml

from ipu_moderation.taxonomy import Category, TargetGroup

ROOT = Path(__file__).parent.parent
LANGUAGES = ("en", "fr")


def codebook(language: str) -> str:
    """The page in one language."""
    data: dict[str, Any] = yaml.load((Path(__file__).parent / "codebook.yaml").read_text(encoding="utf-8"), Loader=yaml.BaseLoader)  # "yes" and "no" are words
    words = data["words"][language]
    rules = [f"{n}. {rule[language]}" for n, rule in enumerate(data["rules"], 1)]
    lines = [f"# {words['title']}", "", words["made"], "", f"## {words['how']}", "", *rules, "", f"## {words['categories']}", ""]
    for category in Category:
        own = data["categories"][category.value]
        lines += [f"### `{category.value}`", "", category.guideline if language == "en" else own[language], ""]
        lines += [f"- {words[f'{answer}_examples']}: {own[answer][language]}" for answer in ("yes", "no")]
        lines += ["", f"{words['source']}: {category.source}", ""]
    lines += [f"## {words['targets']}", "", "| | |", "|---|---|"]
    lines += [f"| `{group.value}` | {group.guideline if language == 'en' else data['targets'][group.value][language]} |" for group in TargetGroup]
    return "\n".join([*lines, ""])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.codebook", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit code 1 when a page is stale")
    args = parser.parse_args(arguments)
    stale = []
    for language in LANGUAGES:
        path, text = ROOT / f"docs/codebook.{language}.md", codebook(language)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(path.name)
            if not args.check:
                path.write_text(text, encoding="utf-8")
    print("\n".join(f"{name}: {'stale; rebuild with: python -m training.codebook' if args.check else 'written'}" for name in stale) or "up to date")
    return int(bool(args.check and stale))


if __name__ == "__main__":
    sys.exit(main())
