"""How many connections there is room for, and what a person hears about it."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from dstack_web.front import room
from dstack_web.front.errors import FrontFailed


@pytest.mark.parametrize(
    ("files", "connections", "per_address", "crowd", "in_crowd"),
    [
        (65_536, 32_668, 19_600, 24_501, 1_020),
        (20_000, 9_900, 5_940, 7_425, 309),
        (1_024, 412, 247, 309, 12),
        (256, 32, 19, 24, 8),
    ],
)
def test_follows_from_the_open_files(
    files: int, connections: int, per_address: int, crowd: int, in_crowd: int
) -> None:
    found = room.room(files=files, environ={})

    assert (found.connections, found.per_address) == (connections, per_address)
    assert (found.crowd, found.in_crowd) == (crowd, in_crowd)


@pytest.mark.parametrize("files", [0, 64, 255])
def test_too_few_files_for_the_proxy_are_refused_with_one_sentence(files: int) -> None:
    with pytest.raises(FrontFailed) as refused:
        room.room(files=files, environ={})

    said = str(refused.value)
    assert said.startswith(f"Only {files} files may be open at once, and the server needs 256. ")
    assert "ulimit -n 65536" in said
    assert "\n" not in said
    assert room.complaint(files) == ""


@pytest.mark.parametrize("text", ["1", "50", " 1000000 "])
def test_the_bound_of_an_address_can_be_set(text: str) -> None:
    found = room.room(files=65_536, environ={room.SETTING: text})

    assert found.per_address == int(text)
    assert found.in_crowd <= found.per_address


@pytest.mark.parametrize(
    "text", ["0", "-1", "1.5", "many", "1000001", "9" * 400, "../x", "٣", "1e3", "1 ssl"]
)
def test_another_bound_is_refused_with_one_sentence(text: str) -> None:
    with pytest.raises(FrontFailed) as refused:
        room.room(files=65_536, environ={room.SETTING: text})

    said = str(refused.value)
    assert said.startswith(f"{room.SETTING} must be a number from 1 to 1000000, not ")
    assert len(said) < 120


@pytest.mark.parametrize("files", [4_096, 65_536])
def test_enough_files_are_no_matter(files: int) -> None:
    assert room.complaint(files) == ""


@pytest.mark.parametrize(("files", "connections"), [(4_095, 1_947), (1_024, 412), (256, 32)])
def test_too_few_files_are_said(files: int, connections: int) -> None:
    said = room.complaint(files)

    assert said.startswith(f"Only {files} files may be open at once, room for {connections} ")
    assert "ulimit -n 65536" in said
    assert "\n" not in said


def test_takes_all_the_files_that_it_may_have() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    program = (
        "import resource\n"
        "from dstack_web.front import room\n"
        "_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))\n"
        "print(room.allow_files(), *resource.getrlimit(resource.RLIMIT_NOFILE))\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30
    )

    most = room.MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, room.MOST_FILES)
    assert done.stdout.split() == [str(most), str(most), str(hard)]
