"""Runs a workload as a plain process of this host, in its own folder, under its own user.

FOLDER/work the upload and working folder · FOLDER/venv · FOLDER/output · FOLDER/process.json port,
user and control groups · and the files of the shim. FOLDER belongs to the agent; `work` and `venv`
to the replica's user, who can enter but not list FOLDER.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import typing
from pathlib import Path

from apps.agent import wire
from apps.agent.caches.given import Given
from apps.agent.host import files, ports, procs, trees, usage, users
from apps.agent.host.interpreters import Interpreter, NotFound
from apps.agent.isolation import cgroups, sandbox
from apps.agent.isolation.network import Inside, Unavailable
from apps.agent.processes import shim, venv
from apps.agent.workloads import bounds, mounts, script
from apps.agent.workloads.executor import (
    Check,
    End,
    Place,
    PrepareFailed,
    Say,
    Sighting,
    how_it_ended,
)
from apps.agent.workloads.host import Host, unpack_upload

ORDINARY_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
FACTS = "process.json"
# A busy machine takes its time, but not this long.
START_SECONDS = 30.0
SUPERVISOR_KILLED = "its supervisor was killed, and the process with it"


class Process:
    def __init__(self, *, spec: wire.WorkloadSpec, folder: Path, host: Host) -> None:
        self.spec = spec
        self.folder = folder
        self.host = host
        self.output = folder / shim.OUTPUT
        self.work = folder / "work"
        self.facts = files.read_json(folder / FACTS) or {}
        if "port" in self.facts and "address" not in self.facts:
            host.ports.keep(self.facts["port"])

    def prepare(self, *, say: Say, check: Check) -> list[str]:
        say("preparing folder")
        remarks: list[str] = []
        for made in (self.work, self.folder / "venv"):
            trees.remove(made)
        self.work.mkdir(mode=0o700)
        unpack_upload(self.host, self.spec, self.work, say=say, check=check)
        interpreter = self._interpreter()
        uid = self._user(interpreter, remarks)
        wheels = venv.share_wheels(interpreter=interpreter, folder=self.host.home.wheels)
        venv.make(folder=self.folder / "venv", interpreter=interpreter, wheels=wheels)
        for made in (self.work, self.folder / "venv"):
            users.give(made, uid)
            made.chmod(0o700)
        cache = self.host.caches.give(self.spec, remarks)
        isolated = self._isolated(uid, remarks)
        mounted = mounts.of_process(self.spec, self.host.home, remarks, isolated=isolated)
        self._note(
            uid=uid,
            isolated=isolated,
            **bounds.make(self.spec, self.folder, remarks),
        )
        self._launch_file(uid, interpreter, mounted, cache)
        return remarks

    def _isolated(self, uid: typing.Optional[int], remarks: list[str]) -> bool:
        """Whether it gets a network of its own; then what it needs for that is made."""
        if uid is None or self.host.network is None:
            if self.host.home.isolate:
                remarks.append("this replica shares the network of its host with all others")
            return False
        sandbox.furnish(self.folder, uid, hostname=socket.gethostname())
        return True

    def _note(self, **facts: typing.Any) -> None:
        self.facts = {**self.facts, **facts}
        files.write_json(self.folder / FACTS, self.facts)

    def _interpreter(self) -> Interpreter:
        try:
            return self.host.interpreters.find(
                version=self.spec.python, for_all=self.host.home.isolate
            )
        except NotFound as error:
            raise PrepareFailed(str(error)) from error

    def _user(self, interpreter: Interpreter, remarks: list[str]) -> typing.Optional[int]:
        if not self.host.home.isolate:
            return None
        if not interpreter.open_to_all:
            remarks.append(
                f"this replica runs as the agent's own user and is not isolated, because other "
                f"users cannot run {interpreter.path}"
            )
            return None
        try:
            return users.take(self.folder)
        except OSError as error:
            raise PrepareFailed(f"no user of its own for the replica: {error}") from error

    def _port(self) -> int:
        """The port that the gateway will call: in a network of its own, the one it asks for."""
        if self.facts["isolated"]:
            return self.spec.container_port
        if "port" in self.facts:
            return int(self.facts["port"])
        try:
            return self.host.ports.take()
        except ports.NoFreePort as error:
            raise PrepareFailed(str(error)) from error

    def _launch_file(
        self,
        uid: typing.Optional[int],
        interpreter: Interpreter,
        mounted: typing.Sequence[mounts.Mount],
        cache: typing.Optional[Given],
    ) -> None:
        self._note(port=self._port())
        env = environment(
            self.spec, work=self.work, venv=self.folder / "venv", port=self.facts["port"]
        )
        env = {**(cache.variables if cache else {}), **env}
        launch = shim.Launch(
            id=self.spec.id,
            argv=command(self.spec, path=env["PATH"]),
            env=env,
            working_dir=working_dir(self.spec, self.work),
            uid=uid,
            cgroups=self.facts["cgroups"],
            wake=str(self.host.home.wake),
            max_output_bytes=self.host.max_output_bytes,
            keep=[
                str(self.folder),
                str(self.host.home.wheels),
                str(Path(interpreter.path).parent.parent),
                interpreter.library,
                *([cache.folder] if cache else []),
            ],
            shm_mib=self.spec.shm_size_mib,
            groups=[cache.group] if cache and cache.group is not None else [],
            mounts=[list(mount) for mount in mounted],
        )
        files.write_json(self.folder / shim.LAUNCH, launch._asdict())

    def start(self) -> None:
        with self._own_network() as inside:
            self._start_shim([] if inside is None else [inside.namespace])
        give_up_at = time.monotonic() + START_SECONDS
        while "pid" not in (self._state() or {}):
            if time.monotonic() > give_up_at:
                with contextlib.suppress(FileNotFoundError):
                    (self.folder / shim.LAUNCH).unlink()
                raise PrepareFailed(f"its supervisor did not start: {self._shim_log()}")
            time.sleep(0.005)

    @contextlib.contextmanager
    def _own_network(self) -> typing.Iterator[typing.Optional[Inside]]:
        """Make it, and hold it until the shim does. Raise PrepareFailed."""
        if not self.facts["isolated"] or self.host.network is None:
            yield None
            return
        try:
            inside = self.host.network.make(uid=self.facts["uid"], port=self.facts["port"])
        except Unavailable as error:
            raise PrepareFailed(f"no network of its own for the replica: {error}") from error
        try:
            self._note(address=inside.address)
            yield inside
        finally:
            os.close(inside.namespace)

    def _start_shim(self, namespaces: list[int]) -> None:
        argv = [sys.executable, "-I", "-S", str(self.host.home.program), "shim", str(self.folder)]
        with (self.folder / "shim.log").open("ab") as log:
            subprocess.Popen(
                [*argv, *map(str, namespaces)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": ORDINARY_PATH, "LANG": "C.UTF-8"},
                start_new_session=True,
                pass_fds=namespaces,
            ).wait(timeout=START_SECONDS)

    def _shim_log(self) -> str:
        return (self.folder / "shim.log").read_text(errors="replace").strip()[-500:]

    def adopt(self) -> None:
        """There is nothing to take up: the shim works by itself."""

    def renew(self, spec: wire.WorkloadSpec) -> None:
        """There is nothing that could change while it runs."""

    def _state(self) -> typing.Optional[dict[str, typing.Any]]:
        return files.read_json(self.folder / shim.STATE)

    def sight(self) -> Sighting:
        state = self._state()
        if state is None:
            return Sighting()
        if not state.get("ended") and not self._shim_lives(state):
            # It may have ended between the two looks.
            state = self._state() or state
        end = None
        if state.get("ended"):
            end = self._end(state)
        elif not self._shim_lives(state):
            end = self._lost(state)
        return Sighting(state["started_at"], state.get("pid"), end)

    def _shim_lives(self, state: dict[str, typing.Any]) -> bool:
        return state["boot_id"] == procs.boot_id() and procs.is_alive(
            state["shim_pid"], state["shim_start"]
        )

    def _end(self, state: dict[str, typing.Any]) -> End:
        code, at = state["exit_code"], state["ended_at"]
        if state["error"]:
            return End(code, wire.REASON_EXITED, state["error"], at)
        if "stop_began_at" in state:
            took = at - state["stop_began_at"]
            text = (
                f"killed: it did not stop within {took:.0f} s" if state.get("killed") else "stopped"
            )
            return End(code, wire.REASON_STOPPED, text, at)
        if state.get("too_many_processes"):
            return End(code, wire.REASON_OVER_BOUND, bounds.too_many_processes(self.facts), at)
        reason, text = how_it_ended(
            code=code,
            signal=state["signal"],
            seconds=at - state["started_at"],
            out_of_memory=bool(state["out_of_memory"]),
            memory_limit_mib=self.facts.get("memory_mib") or self.spec.memory_limit_mib,
            shared_memory=state["out_of_memory"] == cgroups.OF_HOST,
        )
        return End(code, reason, text, at)

    def _lost(self, state: dict[str, typing.Any]) -> End:
        if state["boot_id"] != procs.boot_id():
            return End(None, wire.REASON_HOST_STOPPED, "the host was restarted", time.time())
        self._kill_left(state)
        return End(None, wire.REASON_HOST_STOPPED, SUPERVISOR_KILLED, time.time())

    def _kill_left(self, state: dict[str, typing.Any]) -> None:
        """Kill what a killed shim left: by session, by user, by HOME."""
        groups = [Path(path) for path in self.facts.get("cgroups", [])]
        cgroups.forbid_processes(groups)
        give_up_at = time.monotonic() + shim.KILL_SECONDS
        while time.monotonic() < give_up_at:
            left = set(self._left(state))
            if not left:
                break
            procs.signal_all(left, 9)
            time.sleep(0.02)
        cgroups.remove(groups)

    def _left(self, state: dict[str, typing.Any]) -> list[int]:
        found = procs.with_home(str(self.work))
        if self.facts.get("uid") is not None:
            found += procs.of_user(self.facts["uid"])
        pid = state.get("pid")
        if pid is not None and procs.start_of(pid) in (None, state["pid_start"]):
            found += procs.of_session(pid)
        return found

    def place(self) -> Place:
        if "address" in self.facts:
            return self._place_in_own_network()
        own, wanted = self.facts["port"], self.spec.container_port
        listening = ports.listeners(None)
        state = self._state() or {}
        inodes = ports.owned_by(
            procs.descendants(state.get("shim_pid", -1)), {one.inode for one in listening}
        )
        mine = [one for one in listening if one.inode in inodes]
        # Its own port first: what it opens on the spec's port may be something else.
        for listener in sorted(mine, key=lambda one: one.port != own):
            if listener.port in (own, wanted):
                return Place(address=ports.address_of(listener))
        taken = any(one.port == wanted for one in listening)
        hint = ports.where_else(mine, port=own, name="$PORT")
        return Place(port=own, taken_port=wanted if taken else None, hint=hint)

    def image_pin(self) -> str:
        return ""

    def is_cut_off(self) -> bool:
        return False

    def listens(self) -> bool:
        return True  # it has an address once it does

    def why_not_reached(self) -> str:
        return ""  # it is asked where it listens

    def _place_in_own_network(self) -> Place:
        port = self.facts["port"]
        pid = (self._state() or {}).get("pid")
        listening = [] if pid is None else ports.listeners(None, net=Path(f"/proc/{pid}/net"))
        if any(one.port == port and ports.takes_loopback(one) for one in listening):
            return Place(address=f"{self.facts['address']}:{port}")
        return Place(port=port, hint=ports.where_else(listening, port=port))

    def usage(self, table: procs.Table) -> typing.Optional[usage.Used]:
        shim_pid = (self._state() or {}).get("shim_pid", -1)
        family = procs.below(shim_pid, table)
        if not family:
            return None
        # What the shim has waited for were processes of the replica, its own time is not.
        ticks = table[shim_pid].ended_ticks + sum(p.cpu_ticks + p.ended_ticks for p in family)
        limit = self.spec.memory_limit_mib if self.facts.get("cgroups") else None
        return usage.Used(
            cpu_seconds=ticks / procs.TICKS_PER_SECOND,
            memory_bytes=sum(p.resident_pages for p in family) * procs.PAGE_BYTES,
            memory_limit_bytes=None if limit is None else limit * usage.MIB,
        )

    def stop(self, *, seconds: float) -> None:
        state = self._state()
        files.write_json(self.folder / shim.STOP, {"seconds": seconds})
        if state is not None and self._shim_lives(state):
            procs.signal_all([state["shim_pid"]], 15)

    def release(self) -> None:
        """There is nothing to give back: the shim has left nothing but the files."""

    def remove(self) -> None:
        state = self._state()
        if state is not None and self._shim_lives(state):
            procs.signal_all([state["shim_pid"]], 9)
            self._kill_left(state)
        cgroups.remove([Path(path) for path in self.facts.get("cgroups", [])])
        cgroups.remove_all_of(bounds.group_name(self.folder))
        for name in ("work", "venv", sandbox.TMP, sandbox.VAR_TMP):
            trees.remove(self.folder / name)
        if "port" in self.facts:
            self.host.ports.give_back(self.facts["port"])


def command(spec: wire.WorkloadSpec, *, path: str = ORDINARY_PATH) -> list[str]:
    """Return what to execute; `path` is where shells are looked for. Raise PrepareFailed."""
    if spec.entrypoint is not None:
        return script.checked(script.entrypoint(spec))
    if not spec.commands:
        return script.checked([])
    bash = spec.prefers_bash and shutil.which("bash", path=path)
    shell = "bash" if bash else spec.shell
    return script.checked([shell, "-c", script.program(spec.commands, shell=shell)])


def working_dir(spec: wire.WorkloadSpec, work: Path) -> str:
    """Return the folder to start in. Raise PrepareFailed."""
    if spec.working_dir is None:
        return str(work)
    wanted = Path(os.path.normpath(str(work / spec.working_dir)))
    inside = wanted == work or work in wanted.parents
    if not inside and not Path(spec.working_dir).is_absolute():
        raise PrepareFailed(f"working_dir {spec.working_dir} leads out of the working folder")
    if not wanted.is_dir():
        where = "the uploaded files" if inside else "this host"
        raise PrepareFailed(f"working_dir {spec.working_dir} is no folder of {where}")
    return str(wanted)


def environment(spec: wire.WorkloadSpec, *, work: Path, venv: Path, port: int) -> dict[str, str]:
    """Return the whole environment of the replica. Raise PrepareFailed."""
    given = dict(spec.env)
    for name, value in given.items():
        if not name or "=" in name or "\0" in name + value:
            raise PrepareFailed(f"the environment variable {name!r} cannot be passed to a process")
    path = given.pop("PATH", ORDINARY_PATH)
    gpus = {"CUDA_VISIBLE_DEVICES": ",".join(map(str, spec.gpu_indices))}
    # Else CUDA counts the fastest GPU first, where a host has several kinds.
    gpus = {**gpus, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"} if spec.gpu_indices else {}
    return {
        "HOME": str(work),
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        **gpus,
        **given,
        "PATH": f"{venv / 'bin'}:{path}",
        "PORT": str(port),
    }
