from __future__ import annotations

from pathlib import Path

import pytest

from apps.agent import wire
from apps.agent.host.home import Home
from apps.agent.workloads import mounts
from apps.agent.workloads.executor import PrepareFailed


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "agent").mkdir()
    return Home(tmp_path / "agent", tmp_path / "agent", "id", False, 0)


def wanted(source: str, *, path: str = "/data", optional: bool = False) -> wire.WorkloadSpec:
    return wire.WorkloadSpec(id="w", name="w", mounts=[wire.MountSpec(source, path, optional)])


@pytest.mark.parametrize(
    "source",
    [
        *("/", "//", "/.", "/etc", "/etc/ssl", "/proc", "/proc/1/root", "/sys", "/dev/shm"),
        *("/run", "/var/run", "/var/run/docker.sock", "/run/docker.sock", "/var", "/var/lib"),
        *("/var/lib/docker/volumes", "/var/lib/dstack-agent", "/root", "/root/.ssh", "/usr/bin"),
        *("/opt", "/opt/dstack-agent", "/bin", "/tmp/../etc", "/var/spool/cron"),
    ],
)
def test_never_gives_what_holds_the_machine(source: str, home: Home) -> None:
    with pytest.raises(PrepareFailed, match=f"^volumes: {source}:/data: "):
        mounts.folders(wanted(source), home, [])


@pytest.mark.parametrize("below", ["agent", "agent/workloads/w2", "."])
def test_never_gives_the_agents_own_home(below: str, home: Home, tmp_path: Path) -> None:
    with pytest.raises(PrepareFailed, match="no service may have"):
        mounts.folders(wanted(str(tmp_path / below)), home, [])


@pytest.mark.parametrize("target", ["/etc", "/", "/proc/1", "agent", "agent/b"])
def test_looks_where_links_lead(target: str, home: Home, tmp_path: Path) -> None:
    link = tmp_path / "harmless"
    link.symlink_to(target)

    with pytest.raises(PrepareFailed, match="volumes: "):
        mounts.folders(wanted(str(link)), home, [])


def test_makes_a_folder_that_is_missing_open_to_all(home: Home, tmp_path: Path) -> None:
    found = mounts.folders(wanted(f"{tmp_path}/models/llama/"), home, [])

    made = tmp_path / "models/llama"
    assert found == [mounts.Mount(str(made.resolve()), "/data")]
    assert made.stat().st_mode & 0o7777 == 0o1777
    assert mounts.folders(wanted(str(made)), home, []) == found


def test_leaves_the_rights_of_a_folder_that_is_there(home: Home, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir(mode=0o750)

    mounts.folders(wanted(str(tmp_path / "mine")), home, [])

    assert (tmp_path / "mine").stat().st_mode & 0o7777 == 0o750


def test_gives_folders_only(home: Home, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(PrepareFailed, match="it is no folder of the machine"):
        mounts.folders(wanted(str(tmp_path / "file")), home, [])


def test_goes_without_an_optional_one(home: Home) -> None:
    remarks: list[str] = []

    assert mounts.folders(wanted("/etc", optional=True), home, remarks) == []
    assert remarks == [
        "volumes: /etc:/data: no service may have /etc of a machine, because of /etc; it is "
        "optional, so the replica goes without it"
    ]


def test_gives_a_process_without_mounts_of_its_own_nothing(home: Home, tmp_path: Path) -> None:
    with pytest.raises(PrepareFailed, match="give the service an `image`"):
        mounts.of_process(wanted(str(tmp_path / "a")), home, [], isolated=False)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/etc", "no service may have /etc"),
        ("/usr/lib/python3", "no service may have"),
        ("/no-such-folder-here", "below /tmp one is made"),
        ("/tmp/../etc", "no service may have /etc"),
    ],
)
def test_puts_nothing_in_the_place_of_what_a_process_needs(
    path: str, why: str, home: Home, tmp_path: Path
) -> None:
    with pytest.raises(PrepareFailed, match=why):
        mounts.of_process(wanted(str(tmp_path / "a"), path=path), home, [], isolated=True)


def test_puts_it_below_the_tmp_of_a_process(home: Home, tmp_path: Path) -> None:
    found = mounts.of_process(
        wanted(str(tmp_path / "a"), path="/tmp/a/b/"), home, [], isolated=True
    )

    assert [mount.path for mount in found] == ["/tmp/a/b"]
