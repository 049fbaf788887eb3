"""Obfuscated spellings for training: what people do to get past a filter. Labels stay; both sides of the label are treated alike."""

from __future__ import annotations

import random

_LEET = {"a": "4@", "e": "3", "i": "1!", "o": "0", "s": "5$", "t": "7", "l": "1", "g": "9", "b": "8"}
_LOOKALIKE = {"a": "а", "e": "е", "o": "о", "p": "р", "c": "с", "x": "х", "y": "у", "i": "і", "А": "A", "а": "a", "е": "e", "о": "o", "р": "p", "с": "c"}
WAYS = ("swap", "delete", "double", "leet", "lookalike", "split", "join", "zero_width", "upper", "lower", "no_marks", "star")


def obfuscate(text: str, rng: random.Random, way: str | None = None) -> str:
    """The text with some of its longer words spelled in one evasive way (or its case changed); masks such as @USER stay."""
    way = way or rng.choice(WAYS)
    if way == "upper":
        return text.upper()
    if way == "lower":
        return text.lower()
    if way == "no_marks":
        return "".join(c for c in text if c.isalnum() or c.isspace() or c in "@'’-" or ord(c) > 0x2FF)
    words = text.split(" ")
    spots = [i for i, w in enumerate(words) if len(w) >= 4 and w.isalpha()]
    if not spots:
        return text
    if way == "join":
        i = rng.choice(spots)
        return " ".join([*words[:i], "".join(words[i : i + 2]), *words[i + 2 :]])
    for i in rng.sample(spots, max(1, round(len(spots) * rng.uniform(0.15, 0.6)))):
        words[i] = _one_word(words[i], way, rng)
    return " ".join(words)


def _one_word(word: str, way: str, rng: random.Random) -> str:
    at = rng.randrange(1, len(word) - 1)
    if way == "swap":
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if way == "delete":
        return word[:at] + word[at + 1 :]
    if way == "double":
        return word[:at] + word[at] * rng.randint(2, 5) + word[at + 1 :]
    if way == "star":
        return word[:at] + rng.choice("*#_.") + word[at + 1 :]
    if way == "split":
        return word[:at] + " " + word[at:] if rng.random() < 0.5 else rng.choice(" .-").join(word)
    if way == "zero_width":
        return word[:at] + rng.choice("\u200b\u200d\u2060\u00ad") + word[at:]
    table = _LEET if way == "leet" else _LOOKALIKE
    return "".join(rng.choice(table[c.lower() if way == "leet" else c]) if (c.lower() if way == "leet" else c) in table and rng.random() < 0.6 else c for c in word)
