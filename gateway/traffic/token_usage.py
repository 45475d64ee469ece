"""Tokens that an answer said it used, as HAProxy tells at the end of a sample. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.state.sample_line import UNKNOWN, USED, UsedTokens


@dataclass(frozen=True)
class TokenUsage:
    """What one answer used of the tokens of `endpoint`, asked with `key` (empty without one)."""

    endpoint: str
    key: str
    tokens_in: int
    tokens_out: int


def parse(text: str) -> tuple[str, TokenUsage | None]:
    """Return a sample without what was used, and that; None where the answer did not say it."""
    sample, _, rest = text.partition(USED)
    words = rest.split()
    if len(words) != len(UsedTokens._fields):
        return sample, None
    key, *numbers = UsedTokens(*words)
    if not any(each.isdecimal() for each in numbers):
        return sample, None
    tokens_in, tokens_out = (int(each) if each.isdecimal() else 0 for each in numbers)
    endpoint = sample.partition(" ")[0]
    return sample, TokenUsage(endpoint, "" if key == UNKNOWN else key, tokens_in, tokens_out)
