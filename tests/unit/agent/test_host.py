"""Users, interpreters, virtual environments, the archive, the configuration."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from apps.agent import build, config
from apps.agent.host import users
from apps.agent.host.interpreters import Interpreters, NotFound
from apps.agent.processes import venv

# The owner of a folder of these tests need not be root: nobody becomes another user here.


def test_gives_each_folder_a_user_and_always_the_same(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        folder.mkdir()

    uids = [users.take(folder, reservations=tmp_path / "r") for folder in folders]

    assert len(set(uids)) == 2
    assert users.take(folders[0], reservations=tmp_path / "r") == uids[0]


def test_gives_the_user_of_a_folder_that_is_gone_again(tmp_path: Path) -> None:
    gone, fresh = tmp_path / "gone", tmp_path / "fresh"
    gone.mkdir()
    fresh.mkdir()
    uid = users.take(gone, reservations=tmp_path / "r")
    gone.rmdir()

    assert users.take(fresh, reservations=tmp_path / "r") == uid


def test_sees_which_folders_everybody_may_pass(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)

    assert users.is_open_to_all(Path("/usr/bin/env"))
    assert not users.is_open_to_all(private / "file")


def fake_python(folder: Path, version: str) -> None:
    """A program that answers the probe as a Python of that version would."""
    folder.mkdir(exist_ok=True)
    path = folder / f"python{version}"
    answer = f'{{"path": "{path}", "version": "{version}.1", "library": "{folder}"}}'
    path.write_text(f"#!/bin/sh\necho '{answer}'\n")
    path.chmod(0o755)


def test_finds_the_python_that_was_asked_for(tmp_path: Path) -> None:
    fake_python(tmp_path / "bin", "3.98")
    fake_python(tmp_path / "bin", "3.99")

    found = Interpreters(str(tmp_path / "bin")).find(version="3.99", for_all=False)

    assert found.path == str(tmp_path / "bin/python3.99")
    assert found.minor == "3.99"


def test_names_the_pythons_that_there_are(tmp_path: Path) -> None:
    fake_python(tmp_path / "bin", "3.99")

    with pytest.raises(NotFound, match=r"Python 3\.2 is not on this host, which has: .*3\.99"):
        Interpreters(str(tmp_path / "bin")).find(version="3.2", for_all=False)


@pytest.mark.parametrize("script", ["exit 1", "echo nonsense", "echo '{}'"])
def test_passes_over_programs_that_are_no_python(tmp_path: Path, script: str) -> None:
    (tmp_path / "python3.99").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "python3.99").chmod(0o755)

    with pytest.raises(NotFound):
        Interpreters(str(tmp_path)).find(version="3.99", for_all=False)


def test_prefers_a_python_that_everybody_may_run(tmp_path: Path) -> None:
    for interpreter in Interpreters(os.environ["PATH"]).all():
        if interpreter.open_to_all:
            break
    else:
        pytest.skip("no Python of this host is open to all")

    found = Interpreters(os.environ["PATH"]).find(version=None, for_all=True)

    assert found.open_to_all


def test_makes_an_environment_that_python_takes_for_one(tmp_path: Path) -> None:
    interpreter = Interpreters("").find(version=None, for_all=False)

    venv.make(folder=tmp_path / "a venv", interpreter=interpreter, wheels=[])

    python = tmp_path / "a venv/bin/python3"
    code = "import sys, site; print(sys.prefix); print(site.getsitepackages()[0])"
    said = subprocess.check_output([python, "-c", code], text=True).splitlines()
    packages = tmp_path / f"a venv/lib/python{interpreter.minor}/site-packages"
    assert said == [str(tmp_path / "a venv"), str(packages)]


def test_says_that_python_came_without_pip(tmp_path: Path) -> None:
    interpreter = Interpreters("").find(version=None, for_all=False)
    venv.make(folder=tmp_path / "venv", interpreter=interpreter, wheels=[])

    answer = subprocess.run([tmp_path / "venv/bin/pip", "list"], capture_output=True, text=True)

    assert answer.returncode == 1
    assert "comes without pip" in answer.stderr


def test_builds_the_same_file_from_the_same_source(tmp_path: Path) -> None:
    first = build.build(tmp_path / "one.pyz")
    second = build.build(tmp_path / "two.pyz")

    assert first.read_bytes() == second.read_bytes()


def test_builds_itself_from_the_file_that_runs(tmp_path: Path) -> None:
    first = build.build(tmp_path / "one.pyz", compiled=True)
    code = (
        f"import sys; sys.path.insert(0, {str(first)!r})\n"
        "from pathlib import Path\nfrom apps.agent import build\n"
        "build.build(Path('two.pyz')); build.build(Path('three.pyz'), compiled=True)"
    )

    subprocess.run([sys.executable, "-I", "-c", code], cwd=tmp_path, check=True)

    assert (tmp_path / "two.pyz").read_bytes() == build.build(tmp_path / "plain.pyz").read_bytes()
    names = zipfile.ZipFile(tmp_path / "three.pyz").namelist()
    assert "apps/agent/processes/shim.pyc" in names
    assert names == zipfile.ZipFile(first).namelist()


@pytest.mark.parametrize(
    "url",
    ["", "127.0.0.1:80", "ftp://host", "http://", "http://h:x", "http://h:0", "http://h:99999"],
)
def test_refuses_an_address_that_is_none(url: str) -> None:
    with pytest.raises(config.BadConfig, match="must look like"):
        config.made(url, "token")


@pytest.mark.parametrize("token", ["", "a b", "a\nb", "é", "a\0"])
def test_refuses_a_token_that_no_header_can_hold(token: str) -> None:
    with pytest.raises(config.BadConfig, match="the token"):
        config.made("http://127.0.0.1:1", token)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"url": "x", "token": "t"}', '{"url": 5}'])
def test_takes_a_file_that_cannot_be_used_for_a_missing_one(tmp_path: Path, text: str) -> None:
    (tmp_path / "boot.json").write_text(text)

    assert config.FileSource(tmp_path / "boot.json").read() is None


def test_keeps_the_token_out_of_its_text() -> None:
    assert "secret" not in repr(config.made("http://h", "secret"))
