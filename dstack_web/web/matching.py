"""What fits what one types into the search, the best first. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LONGEST = 60
WORDS_APART = " -_./:"
# Of what fits equally well.
KINDS = ("Service", "Model", "Action", "Page", "Project", "Docs")


@dataclass(frozen=True)
class Item:
    """Something to go to. `key` is what browsers remember of it; `words` fit besides its text,
    without being shown."""

    kind: str
    text: str
    href: str
    icon: str
    note: str = ""
    words: str = ""

    @property
    def key(self) -> str:
        return self.href


def plain(query: str) -> str:
    """Return what of a query is looked for: small letters, without spaces around."""
    return "".join(letter for letter in query if letter.isprintable())[:LONGEST].strip().casefold()


def rank(query: str, text: str) -> tuple[int, int] | None:
    """Return how well a text fits, less is better, or None where it does not.

    The whole text, its beginning, a word's beginning, a part of it, then letters in their order,
    those closest together first. Spaces of the query may stand for anything.
    """
    looked_for, found = plain(query), text.casefold()
    if not looked_for:
        return 0, 0
    at = found.find(looked_for)
    if at == 0:
        return (0 if found == looked_for else 1), len(found)
    if _begins_a_word(found, looked_for):
        return 2, len(found)
    if at > 0:
        return 3, len(found)
    span = _shortest_span(looked_for.replace(" ", ""), found)
    return None if span is None else (4, span)


def best(
    query: str, items: Sequence[Item], *, recent: Sequence[str] = (), most: int = 12
) -> list[Item]:
    """Return what fits best, of equals what was used last, then by kind, the shortest first.

    Where nothing is typed, what was used last comes first of all.
    """
    used = {key: number for number, key in enumerate(recent)}
    ranked = []
    for item in items:
        fits = _rank_of(query, item)
        if fits is not None:
            since = used.get(item.key, len(used))
            ranked.append((fits[0], since, KINDS.index(item.kind), fits[1], item))
    ranked.sort(key=lambda each: each[:4])
    return [each[-1] for each in ranked[:most]]


def _rank_of(query: str, item: Item) -> tuple[int, int] | None:
    by_text = rank(query, item.text)
    if by_text is not None or not item.words:
        return by_text
    by_words = rank(query, item.words)
    # What is not shown fits worse than what is, and not by letters here and there.
    return (3, 0) if by_words is not None and by_words[0] < 4 else None


def _begins_a_word(text: str, query: str) -> bool:
    at = text.find(query)
    while at > 0:
        if text[at - 1] in WORDS_APART:
            return True
        at = text.find(query, at + 1)
    return False


def _shortest_span(letters: str, text: str) -> int | None:
    """How long the shortest part of the text is that has the letters in their order."""
    found = None
    begin = text.find(letters[0])
    while begin >= 0:
        at = begin
        for letter in letters[1:]:
            at = text.find(letter, at + 1)
            if at < 0:
                return found
        found = at - begin + 1 if found is None else min(found, at - begin + 1)
        begin = text.find(letters[0], begin + 1)
    return found
