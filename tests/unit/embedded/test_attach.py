from __future__ import annotations

from pathlib import Path

from dstack_web.embedded.attach import attach
from dstack_web.embedded.home import Home


def test_finds_the_server_of_the_home(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.prepare()
    secrets = home.secrets({})
    environ = {"DSTACK_HOME": str(tmp_path)}

    attach(environ)

    assert environ["DSTACK_SECRET_KEY"] == secrets.secret_key
    assert environ["DATABASE_URL"].startswith("postgresql://dstack@/dstack?host=/")


def test_sets_nothing_over_what_is_set(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.prepare()
    home.secrets({})
    environ = {"DSTACK_HOME": str(tmp_path), "DATABASE_URL": "postgresql://db/x"}

    attach(environ)

    assert environ["DATABASE_URL"] == "postgresql://db/x"


def test_makes_nothing_where_there_is_no_server(tmp_path: Path) -> None:
    environ = {"DSTACK_HOME": str(tmp_path / "none")}

    attach(environ)

    assert list(environ) == ["DSTACK_HOME"]
    assert not (tmp_path / "none").exists()
