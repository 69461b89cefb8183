"""What somebody may have meant who wrote a name that does not exist."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path


def close_match(word: str, words: Sequence[str]) -> str:
    """`did you mean ...?` where one of `words` is close, else nothing."""
    from difflib import get_close_matches

    matches = get_close_matches(word[:64], words, n=1)
    return f"did you mean {matches[0]!r}?" if matches else ""


def similar_file(path: Path) -> str:
    """`did you mean ...?` where the folder has a file with a similar name, else nothing."""
    try:
        return close_match(path.name, sorted(os.listdir(path.parent))[:1000])
    except (OSError, ValueError):
        return ""
