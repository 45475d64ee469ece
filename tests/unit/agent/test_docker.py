from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest

from apps.agent import wire
from apps.agent.docker import create, engine, files
from apps.agent.docker.output import Follower
from apps.agent.host.home import Home
from apps.agent.workloads import output


def spec(**fields: Any) -> wire.WorkloadSpec:
    return wire.WorkloadSpec(**{"id": "w", "name": "w", "image": "i", **fields})


def description(spec: wire.WorkloadSpec, **image: Any) -> dict[str, Any]:
    home = Home(Path("/home"), Path("/base"), "home-id", False, 0)
    return create.description(spec, home=home, image=image)


RUNC = (
    "failed to create task for container: failed to create shim task: OCI runtime create "
    "failed: runc create failed: unable to start container process: "
)


@pytest.mark.parametrize(
    ("message", "fields", "expected"),
    [
        (
            f'{RUNC}exec: "nope": executable file not found in $PATH: unknown',
            {"entrypoint": "nope"},
            "command not found: nope",
        ),
        (
            f'{RUNC}exec: "sh": executable file not found in $PATH: unknown',
            {"commands": ["serve"]},
            "the image has no shell to run `commands`",
        ),
        (
            f'{RUNC}exec: "/bin/zsh": stat /bin/zsh: no such file or directory: unknown',
            {"commands": ["serve"], "shell": "/bin/zsh"},
            "/bin/zsh was not found in it",
        ),
        (
            f'{RUNC}exec: "sh": executable file not found in $PATH: unknown',
            {"entrypoint": "sh -c", "commands": ["serve"]},
            "command not found: sh",
        ),
        (
            f'{RUNC}exec: "/srv/run": permission denied: unknown',
            {},
            "the command cannot be run: /srv/run is not executable",
        ),
        (f"{RUNC}exec /run: exec format error: unknown", {}, "another kind of processor"),
        ("No command specified", {}, "the image has no command of its own: give `commands`"),
        ("driver failed: port is allocated", {}, "driver failed: port is allocated"),
    ],
)
def test_says_what_the_engine_means(message: str, fields: dict[str, Any], expected: str) -> None:
    assert expected in engine.plain(message, spec(**fields))


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:2375", "nonsense", "unix://"])
def test_speaks_only_to_a_unix_socket(address: str) -> None:
    with pytest.raises(engine.EngineAway, match="the agent speaks only to a unix socket"):
        engine.Engine(address).call("GET", "/info")


def test_describes_limits_and_devices() -> None:
    made = description(
        spec(memory_limit_mib=64, cpu_limit=1.5, shm_size_mib=16, gpu_indices=[0, 2])
    )

    host = made["HostConfig"]
    assert (host["Memory"], host["MemorySwap"]) == (64 * 2**20, 64 * 2**20)
    assert (host["NanoCpus"], host["ShmSize"]) == (1_500_000_000, 16 * 2**20)
    assert host["PidsLimit"] == 16384
    assert host["DeviceRequests"][0]["DeviceIDs"] == ["0", "2"]
    assert host["PortBindings"] == {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]}


def test_leaves_the_images_own_command() -> None:
    made = description(spec(), User="app")

    assert "Entrypoint" not in made and "Cmd" not in made
    assert made["User"] == "app"


@pytest.mark.parametrize(
    ("fields", "image", "has_init", "expected"),
    [
        ({}, {"Cmd": ["python3", "serve.py"]}, True, True),
        ({}, {"Entrypoint": ["/app"], "Cmd": ["--port", "1"]}, True, True),
        ({"entrypoint": "/app"}, {}, True, True),
        ({"commands": ["a"], "shell": "/bin/fish"}, {}, True, True),
        ({}, {"Cmd": ["python3"]}, False, False),
        # The wrapper of commands is made to be the first process.
        ({"commands": ["a"]}, {}, True, False),
        # So are these, and some refuse to be anything else.
        ({}, {"Entrypoint": ["/init"]}, True, False),
        ({}, {"Entrypoint": ["/usr/bin/tini", "--"], "Cmd": ["app"]}, True, False),
        ({}, {"Cmd": ["/usr/bin/dumb-init", "app"]}, True, False),
        ({"entrypoint": "dumb-init app"}, {}, True, False),
        ({"entrypoint": "/app"}, {"Entrypoint": ["/init"]}, True, True),
    ],
)
def test_puts_an_init_before_what_is_none(
    fields: dict[str, Any], image: dict[str, Any], has_init: bool, expected: bool
) -> None:
    home = Home(Path("/home"), Path("/base"), "home-id", False, 0)

    made = create.description(spec(**fields), home=home, image=image, has_init=has_init)

    assert made["HostConfig"]["Init"] is expected


def test_replaces_the_images_entrypoint_by_the_commands() -> None:
    made = description(spec(commands=["a", "b"], shell="/bin/fish"))

    assert (made["Entrypoint"], made["Cmd"]) == (["/bin/fish", "-c", "a && b"], [])


@pytest.mark.parametrize(
    ("own", "images", "expected"),
    [
        ({}, None, ["PYTHONUNBUFFERED=1", "PORT=8000"]),
        ({}, ["PATH=/bin"], ["PYTHONUNBUFFERED=1", "PORT=8000"]),
        ({}, ["PYTHONUNBUFFERED=0"], ["PORT=8000"]),
        ({}, ["PYTHONUNBUFFERED="], ["PORT=8000"]),
        ({}, ["PYTHONUNBUFFEREDX=1"], ["PYTHONUNBUFFERED=1", "PORT=8000"]),
        ({"PYTHONUNBUFFERED": ""}, None, ["PYTHONUNBUFFERED=", "PORT=8000"]),
        ({"PYTHONUNBUFFERED": "2"}, ["PYTHONUNBUFFERED=0"], ["PYTHONUNBUFFERED=2", "PORT=8000"]),
    ],
)
def test_shows_output_at_once_unless_told_otherwise(
    own: dict[str, str], images: list[str] | None, expected: list[str]
) -> None:
    assert description(spec(env=own), Env=images)["Env"] == expected


@pytest.mark.parametrize(
    ("owner", "uid", "gid", "mode"),
    [
        ("", 0, 0, 0o644),
        ("0", 0, 0, 0o644),
        ("12", 12, 12, 0o644),
        ("12:34", 12, 34, 0o644),
        ("app", 0, 0, 0o666),
    ],
)
def test_packs_the_upload_for_its_user(
    tmp_path: Path, owner: str, uid: int, gid: int, mode: int
) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/é").write_text("text")
    (tmp_path / "d/é").chmod(0o644)
    (tmp_path / "l").symlink_to("d/é")

    data = b"".join(files.packed(tmp_path, name="workflow", owner=owner))

    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        file = tar.getmember("workflow/d/é")
        assert tar.getnames() == ["workflow", "workflow/d", "workflow/l", "workflow/d/é"]
        assert (file.uid, file.gid, file.mode) == (uid, gid, mode)
        assert tar.getmember("workflow/l").linkname == "d/é"


def frame(at: str, text: str, *, stream: int = 1) -> bytes:
    payload = f"2026-11-23T22:28:{at}Z {text}".encode()
    return bytes([stream, 0, 0, 0]) + len(payload).to_bytes(4, "big") + payload


def followed(folder: Path, *pieces: bytes) -> list[str]:
    follower = Follower(folder, max_bytes=10**6)
    for piece in pieces:
        follower.feed(piece)
    follower.close()
    return output.tail(folder, 1000)


FRAMES = [frame(f"{n // 3:02d}.000000001", f"line {n}\n") for n in range(30)]


@pytest.mark.parametrize("size", [1, 7, 100, 10**6])
def test_reads_frames_however_they_are_cut(tmp_path: Path, size: int) -> None:
    data = b"".join(FRAMES)

    lines = followed(tmp_path, *[data[i : i + size] for i in range(0, len(data), size)])

    assert lines == [f"line {n}" for n in range(30)]


@pytest.mark.parametrize("cut", range(31))
def test_stores_each_line_once_wherever_it_was_killed(tmp_path: Path, cut: int) -> None:
    followed(tmp_path, *FRAMES[:cut])

    # Resumed, the engine sends again what is a little older than the last line.
    lines = followed(tmp_path, *FRAMES[max(0, cut - 10) :])

    assert lines == [f"line {n}" for n in range(30)]


def test_puts_the_pieces_of_a_line_together(tmp_path: Path) -> None:
    pieces = [frame("01.1", "a" * 5), frame("01.2", "error\n", stream=2), frame("01.3", "b\n")]

    assert followed(tmp_path, *pieces) == ["error", "aaaaab"]


def test_asks_for_a_little_more_than_it_needs(tmp_path: Path) -> None:
    followed(tmp_path, frame("10.5", "a\n"))

    assert Follower(tmp_path, max_bytes=10**6).since == "1795472885.500000000"
