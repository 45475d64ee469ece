from __future__ import annotations

import io

import pytest
from django.contrib.auth import authenticate
from django.core.management import CommandError, call_command

from apps.accounts.models import Token, User
from apps.core.ids import token_hash
from tests import factories

pytestmark = pytest.mark.django_db


def adduser(*words: str) -> dict[str, str]:
    """What the command printed: the last word of each line by the words before it."""
    out = io.StringIO()
    call_command("adduser", *words, stdout=out)
    return dict(line.rsplit(None, 1) for line in out.getvalue().splitlines())


def test_prints_a_password_and_a_token_that_work() -> None:
    printed = adduser("bob")

    assert authenticate(username="bob", password=printed["Password"]) is not None
    assert Token.objects.get(hash=token_hash(printed["API token"])).user.username == "bob"


def test_takes_the_password_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse battery\n"))

    printed = adduser("bob", "--password-stdin")

    assert "Password" not in printed
    assert authenticate(username="bob", password="correct horse battery") is not None


def test_makes_a_member_or_an_admin() -> None:
    project = factories.project("main")

    adduser("bob", "--project", "main", "--role", "admin")
    adduser("root", "--admin")

    assert project.members.get().username == "bob"
    assert User.objects.get(username="root").is_superuser


@pytest.mark.parametrize(
    ("words", "message"),
    [(["taken"], "taken"), (["a b"], "username"), (["bob", "--project", "no"], "no project")],
)
def test_adds_nobody_when_something_is_wrong(words: list[str], message: str) -> None:
    factories.user("taken")

    with pytest.raises(CommandError, match=message):
        adduser(*words)

    assert User.objects.count() == 1
