"""How the files of HAProxy's rules become what it reads."""

from __future__ import annotations

import pytest

from gateway.haproxy import template


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    files: dict[str, str] = {}
    monkeypatch.setattr(template, "FILES", files)
    return files


def test_puts_a_file_into_its_place_wherever_that_is(files: dict[str, str]) -> None:
    files["all.cfg"] = "a\n{step.cfg}\nreturn {page.cfg} if x\n"
    files["step.cfg"] = "  b {page.cfg}\n  c\n"
    files["page.cfg"] = "404\n"

    assert template.text("all.cfg") == "a\n  b 404\n  c\nreturn 404 if x\n"


def test_fills_values_in_through_all_files(files: dict[str, str]) -> None:
    files["all.cfg"] = "{threads}\n{step.cfg}\n"
    files["step.cfg"] = "  {threads}\n"

    assert template.text("all.cfg", threads="2") == "2\n  2\n"


def test_joins_lines_after_a_backslash(files: dict[str, str]) -> None:
    files["all.cfg"] = "  set a,\\\n    b \\\n    if c\n  d\n"

    assert template.text("all.cfg") == "  set a,b if c\n  d\n"


@pytest.mark.parametrize(
    "rule",
    [
        "if { path /a } !{ src 0.0.0.0/0 }",
        "reg ^[A-Z]{1,32}$",
        "${GATEWAY_BOOT}-%rt",
        r"'\1%[var(txn.mount)]\2'",
    ],
)
def test_leaves_what_is_haproxys_own(rule: str, files: dict[str, str]) -> None:
    files["all.cfg"] = f"  {rule}\n"

    assert template.text("all.cfg") == f"  {rule}\n"


def test_refuses_a_place_that_nothing_fills(files: dict[str, str]) -> None:
    files["all.cfg"] = "{route.colour}\n"

    with pytest.raises(KeyError, match=r"route\.colour"):
        template.text("all.cfg")
