"""Tokens that an answer said it used, as HAProxy tells at the end of a sample. Pure.

They stand behind the word `used`: `KEY IN OUT`, each `-` where it is not known.
"""

from __future__ import annotations

from dataclasses import dataclass

WORD = " used "
UNKNOWN = "-"


@dataclass(frozen=True)
class Used:
    """What one answer used of the tokens of `endpoint`, asked with `key` (empty without one)."""

    endpoint: str
    key: str
    tokens_in: int
    tokens_out: int


def parse(text: str) -> tuple[str, Used | None]:
    """Return a sample without what was used, and that; None where the answer did not say it."""
    sample, _, rest = text.partition(WORD)
    endpoint, (key, *numbers) = sample.partition(" ")[0], rest.split() or [""]
    known = [each for each in numbers if each.isdecimal()]
    if not known or len(numbers) != 2:
        return sample, None
    tokens_in, tokens_out = (int(each) if each.isdecimal() else 0 for each in numbers)
    return sample, Used(endpoint, "" if key == UNKNOWN else key, tokens_in, tokens_out)
