"""Whose recording a file is, by a regular expression found in its path."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from brainfm.sources import Source

LABELS = ("dataset", "subject", "session", "task", "run")


def labelled(source: Source, labels: re.Pattern[str], root: Path) -> Source:
    """Return a source with what the groups of ``labels`` find in its path below ``root``.

    Raises
    ------
    ValueError
        The path does not match.
    """
    if not labels.pattern:
        return source
    below = source.path.relative_to(root).as_posix()
    match = labels.search(below)
    if match is None:
        raise ValueError(f"{below}: does not match labels {labels.pattern!r}")
    found: dict[str, Any] = {key: text for key, text in match.groupdict().items() if text}
    return replace(source, **found)


def label_pattern(text: str) -> re.Pattern[str]:
    """Return the regular expression of labels; its groups are named subject, run and the like.

    Raises
    ------
    ValueError
        It is none, or has no or other groups.
    """
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise ValueError(f"labels {text!r} is no regular expression: {error}") from None
    unknown = sorted(set(pattern.groupindex) - set(LABELS))
    if unknown or (text and not pattern.groupindex):
        raise ValueError(
            f"labels {text!r} must have groups (?P<NAME>...) among {', '.join(LABELS)}"
        )
    return pattern
