from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import User
from tests import factories

AsUser = Callable[[User], Client]


@pytest.fixture
def check(alice: User, as_user: AsUser) -> Callable[[str], Any]:
    def post(configuration: str) -> Any:
        body = {"configuration": configuration}
        return as_user(alice).post("/api/specs/validate", body, "application/json").json()

    return post


def test_gives_the_spec_with_its_defaults(check: Callable[[str], Any]) -> None:
    found = check(factories.CONFIGURATION)

    assert (found["valid"], found["errors"]) == (True, [])
    assert found["spec"]["commands"] == ["sleep 1"]
    assert "auth" in found["spec"]


def test_gives_every_error_at_its_place(check: Callable[[str], Any]) -> None:
    found = check("type: service\ncommands: 1\nport: 65536\n")

    assert (found["valid"], found["spec"]) == (False, None)
    assert [(error["path"], error["line"]) for error in found["errors"]] == [
        ("commands", 2),
        ("port", 3),
    ]


def test_gives_what_the_shell_cannot_read_at_its_line(check: Callable[[str], Any]) -> None:
    found = check("type: service\ncommands:\n  - |\n    echo\n    fi\n  - 1\nport: 0\n")

    assert [(error["path"], error["line"]) for error in found["errors"]] == [
        ("commands[0]", 5),
        ("commands[1]", 6),
        ("port", 7),
    ]


def test_checks_a_text_of_any_size_and_kind(check: Callable[[str], Any]) -> None:
    assert check("x: " + "y" * 2_000_000)["valid"] is False
    assert check("\ufeff# ünïcode 🎉")["valid"] is False
    assert check("a: &a [*a, *a]")["valid"] is False
