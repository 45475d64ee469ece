"""Nothing from outside enters a line of HAProxy's runtime socket but plain words."""

from __future__ import annotations

import pytest

from gateway.errors import RuntimeRefused
from gateway.haproxy import runtime
from gateway.haproxy.runtime import Command, batches, commands_of, entry_lines, line, seen_server
from gateway.state.diff import AddEntry, AddServer, Change, DrainServer, DropEntry, SetEntry
from gateway.state.slots import Server

HOSTILE = [
    "x y",
    "x;disable frontend services",
    "x\ndisable frontend services",
    "x\r\nhelp",
    "x\x00y",
    "<<",
    "@1",
    "#0x1",
    "a\tb",
    "",
    " ",
    "é",
    "a{0}b",
    "{}",
    "a\\ b",
    '"a"',
    "a'b",
    "$(id)",
    "a\u2028b",
    "1\n",
]


@pytest.mark.parametrize("word", HOSTILE)
def test_refuses_every_word_with_another_character(word: str) -> None:
    with pytest.raises(RuntimeRefused):
        line("add map {} {} {}", "maps/hosts.map", word, "value")


@pytest.mark.parametrize("word", HOSTILE)
def test_refuses_such_words_in_whole_maps(word: str) -> None:
    with pytest.raises(RuntimeRefused):
        list(entry_lines({"key": word}))


def steps_with(word: str) -> list[Change]:
    return [
        AddServer(Server(name=word, slot=1, replica="r", address="127.0.0.1:1")),
        AddServer(Server(name="n1", slot=1, replica="r", address=word)),
        DrainServer(word, 1),
        AddEntry("hosts", word, "v"),
        AddEntry("hosts", "k", word),
        SetEntry("hosts", "k", word),
        DropEntry("hosts", word),
    ]


@pytest.mark.parametrize("number", range(len(steps_with(""))))
@pytest.mark.parametrize("word", ["a;b", "a b", "a\nb"])
def test_refuses_such_words_in_every_step(number: int, word: str) -> None:
    with pytest.raises(RuntimeRefused):
        commands_of(steps_with(word)[number])


def test_takes_the_words_of_a_table() -> None:
    words = ("maps/hosts.map", "a-b.example_1.com", "s1:1:p:e:1")

    assert line("add map {} {} {}", *words) == "add map " + " ".join(words)


def test_adds_a_server_with_its_check_before_it_takes_requests() -> None:
    server = Server(name="n7", slot=3, replica="r", address="127.0.0.1:80")
    texts = [command.text for command in commands_of(AddServer(server))]

    assert texts[0].startswith("add server s3/n7 127.0.0.1:80 check ")
    assert texts[1:] == ["enable health s3/n7", "set server s3/n7 state ready"]


def test_fits_every_line_into_the_buffer() -> None:
    commands = [Command("x" * 100) for _ in range(1000)]
    lines = [";".join(command.text for command in batch) for batch in batches(commands)]
    payloads = list(entry_lines({f"key{number}": "v" * 64 for number in range(5000)}))

    assert max(map(len, [*lines, *payloads])) <= runtime.MOST_LINE_BYTES + 1000
    assert sum(text.count("x") for text in lines) == 100_000
    assert sum(text.count("\n") for text in payloads) == 5000


@pytest.mark.parametrize(
    ("admin_state", "state"),
    [(0, "ready"), (1, "maint"), (8, "drain"), (9, "maint"), (32, "maint")],
)
def test_reads_the_state_of_a_server(admin_state: int, state: str) -> None:
    row = f"3 s12 1 n4 127.0.0.1 2 {admin_state} 1 1 0 1 0 1 6 0 0 0 - 18490 - 0 0 - - 0"
    name, seen = seen_server(row.split())

    assert (name, seen.slot, seen.state) == ("n4", 12, state)
