"""Colours of terminals as classes of a page, and never as markup."""

from __future__ import annotations

import pytest

from apps.telemetry.logs import terminal


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("plain", "plain"),
        ("\x1b[31mred\x1b[0m not", '<span class="ansi-1">red</span> not'),
        ("\x1b[mx", "x"),
        ("\x1b[1;93mwarm\x1b[22m", '<span class="ansi-11 ansi-bold">warm</span>'),
        ("\x1b[2;3;4mall\x1b[23;24;22mnone",
         '<span class="ansi-dim ansi-italic ansi-underline">all</span>none'),
        ("\x1b[32mgreen\x1b[39mdefault", '<span class="ansi-2">green</span>default'),
        # Of 256 and of millions the nearest.
        ("\x1b[38;5;196mred", '<span class="ansi-1">red</span>'),
        ("\x1b[38;5;12mblue", '<span class="ansi-12">blue</span>'),
        ("\x1b[38;5;240mgrey", '<span class="ansi-8">grey</span>'),
        ("\x1b[38;5;231mwhite", "white"),
        ("\x1b[38;2;20;200;30mgreen", '<span class="ansi-2">green</span>'),
        ("\x1b[38:2:200:30:200mpink", '<span class="ansi-5">pink</span>'),
        # Backgrounds are not painted, and take no colour for their own.
        ("\x1b[48;5;31mx\x1b[41my", "xy"),
        ("\x1b[48;2;1;31;1mx", "x"),
        # What cannot be read changes nothing.
        ("\x1b[38mx\x1b[38;5mx\x1b[38;2;1mx\x1b[999999999999mx", "xxxx"),
        ("\x1b[31", "\x1b[31"),
        ("\x1b[2K\x1b[1Aup\x1b]8;;http://x\x07link\x1b]8;;\x07", "uplink"),
        # Nothing becomes markup.
        ("\x1b[31m<b>&\"'\x1b[0m", '<span class="ansi-1">&lt;b&gt;&amp;&quot;&#x27;</span>'),
        ('\x1b["><script>m', '\x1b[&quot;&gt;&lt;script&gt;m'),
    ],
)  # fmt: skip
def test_paints_with_classes(text: str, html: str) -> None:
    assert terminal.as_html(text) == html


@pytest.mark.parametrize(
    ("text", "search", "html"),
    [
        ("an Error here", "error", "an <mark>Error</mark> here"),
        ("aXbXc", "x", "a<mark>X</mark>b<mark>X</mark>c"),
        ("XX", "x", "<mark>X</mark><mark>X</mark>"),
        # Found across a change of colour, as one reads it.
        ("a\x1b[31mb\x1b[0mc", "abc",
         '<mark>a</mark><mark><span class="ansi-1">b</span></mark><mark>c</mark>'),
        ("\x1b[31mabcd", "bc",
         '<span class="ansi-1">a</span><mark><span class="ansi-1">bc</span></mark>'
         '<span class="ansi-1">d</span>'),
        ("a<b>c", "<b>", "a<mark>&lt;b&gt;</mark>c"),
        ("a.c abc", ".", "a<mark>.</mark>c abc"),
        ("nothing", "x", "nothing"),
    ],
)  # fmt: skip
def test_marks_what_was_searched_for(text: str, search: str, html: str) -> None:
    assert terminal.as_html(text, search=search) == html


@pytest.mark.parametrize(
    "text",
    ["\x1b[\x1b[m31mred", "\x1b\x1b[mcreset", "\x9b31mred", "\x1b]0;title", "\x1b[31"],
)
def test_leaves_nothing_that_a_terminal_obeys(text: str) -> None:
    assert not {"\x1b", "\x9b"} & set(terminal.plain(text))


def test_the_markup_of_a_line_has_a_bound() -> None:
    """What was written to fill the memory of whoever draws it."""
    text = "\x1b[1mx\x1b[mx" * 5000

    styled, marked = terminal.as_html(text), terminal.as_html("x" * 10_000, search="x")

    assert styled.count("x") == marked.count("x") == 10_000
    assert max(styled.count("<span"), marked.count("<mark")) <= 200
