from __future__ import annotations

import pytest

from dstack_web.web.matching import LONGEST, Item, best, plain, rank


@pytest.mark.parametrize(
    ("query", "text", "tier"),
    [
        ("", "chat", 0),
        ("chat", "chat", 0),
        ("CHAT", "chat", 0),
        ("ch", "chat", 1),
        ("ma", "chat-main", 2),
        ("main", "remain-main", 2),
        ("at", "chat", 3),
        ("ct", "chat", 4),
        ("deploy service", "Deploy a service", 4),
        ("tc", "chat", None),
        ("x", "chat", None),
        ("chatty", "chat", None),
        ("ß", "STRASSE", 3),
        ("日", "a 日本", 2),
    ],
)
def test_ranks_by_how_well_a_text_fits(query: str, text: str, tier: int | None) -> None:
    found = rank(query, text)

    assert (found[0] if found else None) == tier


@pytest.mark.parametrize(
    ("query", "best_first"),
    [
        ("ab", ["ab", "abacus", "x-ab", "crab", "a-cub"]),
        ("mn", ["mn", "a-mn", "main", "m-e-n"]),
        ("co", ["co", "code", "coder-long"]),
    ],
)
def test_puts_what_fits_better_first(query: str, best_first: list[str]) -> None:
    items = [Item("Service", text, f"/{text}", "x") for text in reversed(best_first)]

    assert [item.text for item in best(query, items)] == best_first


CHAT, CODE, DOCS = (Item("Service", text, f"/{text}", "x") for text in ("chat", "code", "docs"))


@pytest.mark.parametrize(
    ("query", "recent", "found"),
    [
        ("", [], [CHAT, CODE, DOCS]),
        ("", ["/docs", "/code"], [DOCS, CODE, CHAT]),
        ("c", ["/code"], [CODE, CHAT, DOCS]),
        ("chat", ["/code"], [CHAT]),
        ("", ["/gone", "javascript:alert(1)"], [CHAT, CODE, DOCS]),
    ],
)
def test_of_equals_the_last_used_comes_first(
    query: str, recent: list[str], found: list[Item]
) -> None:
    assert best(query, [CHAT, CODE, DOCS], recent=recent) == found


def test_finds_by_words_that_are_not_shown_but_after_what_is_shown() -> None:
    shown = Item("Page", "Secret things", "/a", "x")
    hidden = Item("Action", "Create a token", "/b", "x", words="new key secret")

    assert best("secret", [hidden, shown]) == [shown, hidden]
    assert best("nks", [hidden]) == []


def test_gives_no_more_than_one_reads() -> None:
    assert len(best("", [CHAT] * 100, most=12)) == 12


def test_a_query_is_short_and_printable() -> None:
    assert plain(" A\x00b\n" + "c" * 100) == "ab" + "c" * (LONGEST - 3)
