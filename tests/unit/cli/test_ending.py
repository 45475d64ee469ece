from __future__ import annotations

import pytest

from apps.cli.main import ending_well


def broken() -> None:
    raise LookupError("no such thing")


@pytest.mark.parametrize("text", ["", "0", "off", "no"])
def test_a_bug_is_one_sentence(
    text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DSTACK_DEBUG", text)

    with pytest.raises(SystemExit, match="1"):
        ending_well(broken)

    assert "A bug in dstack (LookupError: no such thing)" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["1", "on", "True"])
def test_a_bug_is_shown_where_it_is_asked_for(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSTACK_DEBUG", text)

    with pytest.raises(LookupError):
        ending_well(broken)
