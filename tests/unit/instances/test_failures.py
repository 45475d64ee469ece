from __future__ import annotations

import pytest

from apps.instances.boot import failures

LONG = "x" * 1000


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"ref": "i-1"}, "machine i-1 did not call"),
        ({"ref": ""}, "machine dstack-1 did not call"),
        ({"ref": '{"region": "north"}'}, "machine dstack-1 did not call"),
        ({"ref": LONG}, "machine dstack-1 did not call"),
        ({"ref": "i-1\n"}, "machine dstack-1 did not call"),
        ({"message": "disk\x1b[31m full."}, "machine i-1 did not call: disk [31m full"),
        (
            {"console": "one\r\n\x00\x07two\n\nthree\nfour\nfive\n"},
            "machine i-1 did not call; its console ends with: two / three / four / five",
        ),
        ({"console": "\x00\n\x1b\n"}, "machine i-1 did not call"),
    ],
)
def test_names_the_machine_and_says_what_it_said(given: dict[str, str], said: str) -> None:
    known = {"ref": "i-1", "name": "dstack-1", "reason": "did not call"} | given

    assert failures.sentence(**known) == said


def test_says_no_more_than_one_reads() -> None:
    said = failures.sentence(
        ref="i-1", name="dstack-1", reason="failed", message=LONG, console=f"{LONG}\nthe end"
    )

    assert len(said) < 500
    assert said.endswith("xx / the end")
    assert said.isprintable()


def test_keeps_the_end_of_a_console_without_tokens() -> None:
    said = "one\r\n\x1b[31mtwo\x00 dsk_e_0123456789abc\n"

    assert failures.kept_console(said) == "one\n[31mtwo dsk_e_..."
    assert failures.console_tail(said) == "one / [31mtwo dsk_e_..."
    assert len(failures.kept_console(said + "x" * 9000)) == failures.KEPT_CHARACTERS
