from __future__ import annotations

import io
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command


def test_draws_a_load_and_writes_the_page(tmp_path: Path) -> None:
    out, page = io.StringIO(), tmp_path / "flash.html"

    call_command("simulate_scaling", "flash", html=page, hold=2000, stdout=out)

    assert "0 -> 1: a request is held" in out.getvalue()
    assert "0 failed" in out.getvalue()
    assert page.read_text().count("<svg") == 4


def test_compares_with_the_rules_of_others() -> None:
    out = io.StringIO()

    call_command("simulate_scaling", "flash", compare=True, hold=2000, stdout=out)

    rows = {line.split()[0]: line for line in out.getvalue().splitlines()[-5:]}
    assert list(rows) == ["rule", "dstack-web", "Knative", "SkyServe", "dstack"]
    assert rows["dstack-web"].split()[2] == "0"


def test_replays_a_recorded_load(tmp_path: Path) -> None:
    trace, out = tmp_path / "load.csv", io.StringIO()
    trace.write_text("second,rps\n0,5\n60,0\n")

    call_command("simulate_scaling", str(trace), stdout=out)

    assert "300 answered" in out.getvalue()


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["nothing.csv"], "nothing.csv"),
        (["flash", "--replicas", "4..1"], "--replicas"),
        (["flash", "--target", "0"], "--target"),
        (["flash", "--html", "/nowhere/page.html"], "/nowhere/page.html"),
    ],
)
def test_says_what_is_wrong_in_one_sentence(words: list[str], problem: str) -> None:
    with pytest.raises(CommandError, match=problem):
        call_command("simulate_scaling", *words, stdout=io.StringIO())
