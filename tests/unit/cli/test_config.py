from __future__ import annotations

import stat
from pathlib import Path

import pytest

from apps.cli.errors import CliError
from apps.cli.http import config
from apps.cli.http.config import Remote

TOKEN = "dsk_u_abc"
MAIN = Remote("main", "http://127.0.0.1:3000", TOKEN, True)
OTHER = Remote("other", "https://example.com/dstack", "dsk_u_other")


@pytest.fixture(autouse=True)
def empty_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("DSTACK_URL", "DSTACK_TOKEN", "DSTACK_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    return home


def test_keeps_projects_in_a_file_that_only_its_owner_reads(home: Path) -> None:
    config.save([MAIN, OTHER])

    assert config.load() == [MAIN, OTHER]
    assert stat.S_IMODE((home / "config.yml").stat().st_mode) == 0o600
    assert [path.name for path in home.iterdir()] == ["config.yml"]


def test_replaces_a_file_that_others_could_read(home: Path) -> None:
    (home / "config.yml").write_text("projects: []")
    (home / "config.yml").chmod(0o644)

    config.save([MAIN])

    assert stat.S_IMODE((home / "config.yml").stat().st_mode) == 0o600


def test_makes_the_first_project_the_default() -> None:
    first = Remote("a", "http://a", TOKEN)

    assert config.put([], first) == [Remote("a", "http://a", TOKEN, True)]


def test_has_one_default_after_another_project_becomes_it() -> None:
    changed = config.put([MAIN, OTHER], Remote("other", "http://b", TOKEN, True))

    assert [(one.name, one.default) for one in changed] == [("main", False), ("other", True)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[1, 2]", "projects"),
        ("projects: 5", "projects"),
        ("projects: [x]", "project 1"),
        ("projects: [{name: main, url: http://x}]", "the text token"),
        ("projects: [{name: main, url: 5, token: t}]", "the text url"),
        ("projects: [{name: ../x, url: http://x, token: t}]", "not the name of a project"),
        ("projects: [{name: main, url: ftp://x, token: t}]", "not the address of a server"),
        ('projects: [{name: main, url: http://x, token: "a\\nb"}]', "copy it again"),
        ("projects: [\n", "line 2"),
        ("a: b: c", "line 1"),
        ("- !!python/object:os.system {}", "line 1"),
        ("[" * 5000, "config.yml"),
    ],
)
def test_says_what_is_wrong_in_the_file(home: Path, text: str, reason: str) -> None:
    (home / "config.yml").write_text(text)

    with pytest.raises(CliError, match=reason) as caught:
        config.load()
    assert "\n" not in str(caught.value)


def test_says_that_the_file_is_not_text(home: Path) -> None:
    (home / "config.yml").write_bytes(b"\xff\xfe\x00")

    with pytest.raises(CliError, match="not UTF-8 text"):
        config.load()


def test_says_that_the_home_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DSTACK_HOME", str(tmp_path / "file"))

    with pytest.raises(CliError, match="cannot be written"):
        config.save([MAIN])


@pytest.mark.parametrize(
    ("environ", "flag", "chosen"),
    [
        ({}, None, MAIN),
        ({}, "other", OTHER),
        ({"DSTACK_PROJECT": "other"}, None, OTHER),
        ({"DSTACK_PROJECT": "other"}, "main", MAIN),
        ({"DSTACK_TOKEN": "t2"}, "other", Remote("other", OTHER.url, "t2")),
        ({"DSTACK_URL": "http://b/", "DSTACK_TOKEN": "t"}, None, Remote("main", "http://b", "t")),
        ({"DSTACK_URL": "http://b", "DSTACK_TOKEN": "t"}, "new", Remote("new", "http://b", "t")),
    ],
)
def test_lets_flag_and_environment_go_before_the_file(
    environ: dict[str, str], flag: str | None, chosen: Remote
) -> None:
    config.save([MAIN, OTHER])

    assert config.choose(flag, environ=environ) == chosen


def test_sends_a_saved_token_to_no_other_server() -> None:
    config.save([MAIN])

    with pytest.raises(CliError, match="DSTACK_TOKEN is not set"):
        config.choose(environ={"DSTACK_URL": "http://elsewhere"})


def test_says_how_to_save_the_first_project() -> None:
    with pytest.raises(CliError, match="dstack config --url URL"):
        config.choose(environ={})


def test_names_the_saved_projects_when_another_is_asked_for() -> None:
    config.save([MAIN, OTHER])

    with pytest.raises(CliError, match="there is main, other"):
        config.choose("third", environ={})


def test_does_not_show_a_token_when_printed() -> None:
    assert TOKEN not in repr(MAIN)


@pytest.mark.parametrize(
    "url",
    ["", "localhost:3000", "ftp://x", "http://", "http://a b", "http://x:99999", "http://x\ny",
     "http://[::1", "http://user:pw@x", "http://x?a=b", "http://é", "javascript:alert(1)"],
)  # fmt: skip
def test_refuses_what_is_not_the_address_of_a_server(url: str) -> None:
    with pytest.raises(CliError):
        config.server_url(url)
