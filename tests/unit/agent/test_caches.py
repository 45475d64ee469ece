"""When model files of projects are given, measured, cleared and removed."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from apps.agent import wire
from apps.agent.caches import keeper
from apps.agent.caches.given import ABOUT
from apps.agent.caches.keeper import Caches, User
from apps.agent.caches.variables import variables
from apps.agent.host import disk, files, trees, users
from apps.agent.host.home import Home

HUB = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE")


@pytest.mark.parametrize(
    ("said", "names"),
    [
        ((), {"HF_HOME", *HUB}),
        (("HF_TOKEN", "HOME"), {"HF_HOME", *HUB}),
        (("HF_HOME",), set()),
        (("HF_HUB_CACHE",), {"HF_HOME"}),
        (("HUGGINGFACE_HUB_CACHE",), {"HF_HOME"}),
    ],
)
def test_what_the_person_has_set_holds(said: tuple[str, ...], names: set[str]) -> None:
    assert set(variables("/kept", said)) == names


def test_what_images_set_is_set_too() -> None:
    """Images of TGI set the older variable, which would win over HF_HOME alone."""
    found = variables("/kept", ())

    assert found["HF_HOME"] == "/kept/huggingface"
    assert {found[name] for name in HUB} == {"/kept/huggingface/hub"}


def spec(id: str = "a", **fields: Any) -> wire.WorkloadSpec:
    return wire.WorkloadSpec(id=id, name=id, **{"cache": "1", **fields})


class Machine:
    """Caches of a home, and the replicas that live there."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.living: list[wire.WorkloadSpec] = []
        self.ended: list[str] = []
        self.caches = Caches(home, users=lambda: [User(s, self.ended.append) for s in self.living])

    def give(self, spec: wire.WorkloadSpec) -> list[str]:
        """Have one live; return the remarks."""
        remarks: list[str] = []
        self.living.append(spec)
        self.caches.give(spec, remarks)
        return remarks

    def keys(self) -> list[str]:
        return [each.key for each in self.caches.report()]

    def about(self, key: str = "1") -> Path:
        return self.caches.folder / key / ABOUT

    def unused_for(self, seconds: float) -> None:
        about = files.read_json(self.about())
        files.write_json(self.about(), {**(about or {}), "used_at": time.time() - seconds})

    def fill(self, mib: int) -> None:
        (self.about().parent / "process" / "weights").write_bytes(b"x" * mib * 2**20)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(disk, "LOOK_SECONDS", 0.0)
    return Machine(Home(tmp_path, tmp_path, "id", isolate=users.can_isolate(), lock=-1))


@pytest.mark.parametrize("key", ["", "..", "a/b", "/etc", "a\0b", "x" * 65, "."])
def test_a_name_that_is_none_gets_none(machine: Machine, key: str) -> None:
    assert machine.caches.give(spec(cache=key), []) is None
    assert not machine.caches.folder.exists()


@pytest.mark.parametrize(
    ("path", "is_given"),
    [("/var/cache/dstack", False), ("/var/cache/", False), ("/var/cache/dstack/x", True),
     ("/var/cache/other", True), ("/root/.cache", True)],
)  # fmt: skip
def test_a_folder_of_the_person_comes_first(machine: Machine, path: str, is_given: bool) -> None:
    if not machine.home.isolate:
        pytest.skip("containers get one only where the agent is root")
    mounts = [wire.MountSpec("/srv/models", path)]

    found = machine.caches.give(spec(executor="docker", image="i", mounts=mounts), [])

    assert (found is not None) == is_given


def test_it_is_the_same_for_replicas_of_a_project_and_others_have_another(machine: Machine) -> None:
    first, second, other = (machine.caches.give(each, []) for each in
                            (spec("a"), spec("b"), spec("c", cache="2")))  # fmt: skip

    assert first and second and other
    assert first == second
    assert first.folder != other.folder
    if machine.home.isolate:
        assert first.group != other.group
        assert machine.about().stat().st_mode & 0o077 == 0


def test_it_stays_while_it_is_used_and_goes_some_time_after(machine: Machine) -> None:
    machine.caches.apply(wire.CacheRules(keep_seconds=60))
    machine.give(spec())
    machine.unused_for(90)

    machine.caches.look()
    assert machine.keys() == ["1"]
    machine.living.clear()
    machine.caches.look()
    assert machine.keys() == ["1"], "its last use was now"
    machine.unused_for(90)
    machine.caches.look()

    assert machine.keys() == []
    assert list(machine.caches.folder.iterdir()) == []


def test_without_a_word_of_the_server_none_goes(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent that starts while its server is away knows no bound yet."""
    monkeypatch.setattr(disk, "share", lambda folder: 2**20)
    machine.give(spec())
    machine.fill(mib=2)
    machine.caches.look()
    assert machine.ended == []
    machine.living.clear()
    machine.unused_for(10**8)

    machine.caches.look()

    assert machine.keys() == ["1"]


def test_a_clock_that_was_ahead_removes_none_and_keeps_none_for_ever(machine: Machine) -> None:
    machine.caches.apply(wire.CacheRules(keep_seconds=60))
    machine.give(spec())
    machine.living.clear()
    machine.unused_for(-(10**8))

    machine.caches.look()
    assert machine.keys() == ["1"]
    machine.unused_for(61)
    machine.caches.look()

    assert machine.keys() == []


def test_it_is_cleared_once_nobody_uses_it_and_only_that_one(machine: Machine) -> None:
    machine.give(spec())
    (first,) = machine.caches.report()
    machine.caches.apply(wire.CacheRules(clear=[first.id]))

    machine.caches.look()
    assert machine.keys() == ["1"], "it is in use"
    machine.living.clear()
    machine.caches.look()
    assert machine.keys() == []
    machine.give(spec())
    machine.living.clear()
    machine.caches.look()

    assert [each.id for each in machine.caches.report()] not in ([], [first.id])


def test_a_project_that_keeps_too_much_is_ended_and_told(machine: Machine) -> None:
    machine.caches.apply(wire.CacheRules(limit_mib=2))
    machine.give(spec())
    machine.give(spec("o", cache="2"))
    machine.fill(mib=3)

    machine.caches.look()

    (why,) = machine.ended
    assert why.startswith("the model files of its project on this machine take 3 MiB, and may take")
    assert machine.give(spec("late"))[0].startswith("the model files of its project")
    machine.living = [each for each in machine.living if each.cache == "2"]
    machine.caches.look()
    assert machine.keys() == ["2"]
    assert machine.give(spec()) == []


def test_who_goes_without_is_not_ended_for_what_others_left(machine: Machine) -> None:
    """Else the replica that takes the place of one that was ended would keep the folder full."""
    machine.caches.apply(wire.CacheRules(limit_mib=2))
    machine.give(spec())
    machine.fill(mib=3)
    machine.caches.look()
    machine.living, machine.ended = [], []
    assert machine.give(spec("b"))

    machine.caches.look()

    assert machine.ended == []
    assert machine.keys() == []
    assert machine.give(spec("b")) == []
    machine.caches.look()
    assert machine.keys() == ["1"]


def test_a_full_disk_keeps_nobody_who_fills_it(machine: Machine) -> None:
    machine.caches.apply(wire.CacheRules(limit_mib=2))
    machine.give(spec())
    machine.fill(mib=3)
    # As there, nothing can be written in the place of about.json.
    machine.about().with_name(f"{ABOUT}.new").mkdir()

    machine.caches.look()

    assert len(machine.ended) == 1


def test_what_is_removed_keeps_no_report_waiting(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of millions of files the removal takes minutes; a server that hears nothing for one takes the
    machine for lost."""
    seen: list[tuple[str, list[str]]] = []

    def removed(path: Path) -> None:
        reporting = threading.Thread(target=lambda: seen.append((path.name, machine.keys())))
        reporting.start()
        reporting.join(5)

    machine.caches.apply(wire.CacheRules(keep_seconds=60))
    machine.give(spec())
    machine.living.clear()
    machine.unused_for(90)
    (about,) = machine.caches.report()
    with monkeypatch.context() as patched:
        patched.setattr(trees, "remove", removed)
        machine.caches.look()
    assert seen == [(f"gone.{about.id}", [])]

    machine.caches.look()

    assert list(machine.caches.folder.iterdir()) == []


def test_only_root_enters_what_containers_have(machine: Machine) -> None:
    """Root in a container leaves devices there, and a process of the project has the group."""
    if not machine.home.isolate:
        pytest.skip("containers get one only where the agent is root")
    found = machine.caches.give(spec(executor="docker", image="i"), [])

    assert found
    above = Path(found.folder).parent.stat()
    assert (above.st_uid, above.st_gid, above.st_mode & 0o777) == (0, 0, 0o700)
    assert Path(found.folder).stat().st_gid == found.group


def test_a_machine_of_ones_own_bounds_nothing(machine: Machine) -> None:
    machine.caches.apply(wire.CacheRules(limit_mib=2, is_bounded=False))
    machine.give(spec())
    machine.fill(mib=3)

    machine.caches.look()

    assert machine.ended == []
    assert (machine.caches.report()[0].bytes or 0) >= 3 * 2**20


def test_what_a_replica_put_there_is_neither_followed_nor_counted(
    machine: Machine, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"x" * 5 * 2**20)
    machine.give(spec())
    inside = machine.about().parent / "process"
    (inside / "huggingface").symlink_to(outside)
    (inside / "round").symlink_to(inside)
    machine.caches.look()
    assert (machine.caches.report()[0].bytes or 0) < 2**20

    machine.caches.wipe()

    assert (outside / "file").exists()
    assert not machine.caches.folder.exists()


def test_a_link_in_the_place_of_the_folder_is_refused(machine: Machine, tmp_path: Path) -> None:
    machine.give(spec())
    inside = machine.about().parent / "process"
    inside.rmdir()
    inside.symlink_to(tmp_path)
    before = tmp_path.stat()

    remarks = machine.give(spec("b"))

    assert remarks and remarks[0].startswith("model files are not kept: ")
    assert tmp_path.stat().st_mode == before.st_mode


def test_containers_of_an_ordinary_users_agent_get_none(tmp_path: Path) -> None:
    machine = Machine(Home(tmp_path, tmp_path, "id", isolate=False, lock=-1))

    assert machine.give(spec(executor="docker")) == [keeper.NOT_ROOT]
