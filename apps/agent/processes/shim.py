"""One process beside each replica: it starts the replica, keeps its output and its end.

The agent starts it and may die; the shim belongs to nobody (forked twice, its own session). It
lives in the workload's folder and talks by files there, each written whole:

- `launch.json` (agent): what to run, see Launch.
- `state.json` (shim): pids and start times, then how it ended. It is written before the replica
  starts, and a shim that finds it does nothing: a replica never starts twice.
- `stop.json` (agent, followed by SIGTERM): within how many seconds to stop.
- `output/`: the lines.

It adopts what its descendants leave behind (subreaper), so "no children left" means that nothing of
the replica lives, daemons too. It imports as little as possible: there is one per replica.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import resource
import select
import signal
import time
import typing
from pathlib import Path

from apps.agent.host import files, procs
from apps.agent.isolation import cgroups, sandbox
from apps.agent.workloads import output

LAUNCH, STATE, STOP, LOCK, OUTPUT = "launch.json", "state.json", "stop.json", "shim.lock", "output"
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 36, 38
# A SIGTERM without a stop file comes from a host that shuts down.
SHUTDOWN_SECONDS = 8.0
FLUSH_SECONDS = 1.0
# How long a killed process may take to go away; one that waits for a dead disk never does.
KILL_SECONDS = 10.0
# Enough for a busy server; some programs walk through all that they may open.
OPEN_FILES = 65536
# When the kernel is short of memory, a replica goes before the server.
OOM_SCORE = "500"
NOTIFY_SECONDS = 0.05
# How often to look whether it may start no more processes; the kernel tells nobody.
BOUND_SECONDS = 1.0


class Launch(typing.NamedTuple):
    """What to run. `argv[0]` is looked up on env's PATH; `uid` None means the shim's own user.
    With `groups` besides its own it shares folders, and what it makes may be changed by them."""

    id: str
    argv: list[str]
    env: dict[str, str]
    working_dir: str
    uid: typing.Optional[int]
    cgroups: list[str]
    wake: str  # the FIFO of the agent
    max_output_bytes: int = output.DEFAULT_MAX_BYTES
    look_seconds: float = 30.0  # how often to look whether the folder is still there
    keep: typing.Sequence[str] = ()  # folders that a replica with its own /tmp still needs
    mounts: typing.Sequence[typing.Sequence[str]] = ()  # a folder of the machine, and where
    shm_mib: typing.Optional[int] = None  # of its own /dev/shm; None: as much as it has of memory
    groups: typing.Sequence[int] = ()


def main(folder: str, namespace: typing.Optional[int] = None) -> int:
    """Run the workload that `folder` describes, to its end.

    `namespace` is an open descriptor of the network that the replica gets; it lives as long as the
    shim holds it.
    """
    if namespace is not None:
        os.set_inheritable(namespace, False)
    if os.fork():
        return 0
    os.chdir(folder)
    lock = os.open(LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return 0
    launch = files.read_json(Path(LAUNCH))
    if launch is None or Path(STATE).exists():
        return 0
    Shim(Launch(**launch), folder=folder, namespace=namespace).run()
    return 0


class Shim:
    def __init__(
        self, launch: Launch, *, folder: str = ".", namespace: typing.Optional[int] = None
    ) -> None:
        self.launch = launch
        self.folder = folder
        self.namespace = namespace
        self.splitter = output.Splitter()
        self.pipe, self.pipe_end = os.pipe()
        self.wake, self.wake_end = os.pipe()
        for descriptor in (self.pipe, self.wake, self.wake_end):
            os.set_blocking(descriptor, False)
        self.pid = 0
        self.status: typing.Optional[int] = None
        self.childless = False
        self.stop_at: typing.Optional[float] = None  # when patience ends, by the monotonic clock
        self.flush_at: typing.Optional[float] = None
        self.look_at = time.monotonic() + launch.look_seconds
        self.groups = [Path(path) for path in launch.cgroups]
        self.bound_at = time.monotonic() + BOUND_SECONDS if self.groups else None
        self.notified_at = 0.0
        self.notify_at: typing.Optional[float] = None
        self.state: dict[str, typing.Any] = {
            "shim_pid": os.getpid(),
            "shim_start": procs.start_of(os.getpid()),
            "boot_id": procs.boot_id(),
            "started_at": time.time(),
        }

    def run(self) -> None:
        _control(PR_SET_CHILD_SUBREAPER, 1)
        self._catch_signals()
        self._save()
        Path(LAUNCH).unlink()  # it holds the environment, with its secrets
        self.writer = output.Writer(Path(OUTPUT), max_bytes=self.launch.max_output_bytes)
        error = self._start()
        if error is None:
            self._notify(force=True)
            self._watch()
        self._end(error)

    def _save(self) -> None:
        files.write_json(Path(STATE), self.state)

    def _catch_signals(self) -> None:
        signal.set_wakeup_fd(self.wake_end, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, _nothing)
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)

    def _start(self) -> typing.Optional[str]:
        """Start the replica's first process; return why not where that fails."""
        go, go_end = os.pipe()
        fault, fault_end = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(go_end)
            _become(
                self.launch,
                go=go,
                out=self.pipe_end,
                fault=fault_end,
                enter=self._enter,
            )
        for descriptor in (go, fault_end, self.pipe_end):
            os.close(descriptor)
        cgroups.enter(self.groups, self.pid)
        self.state.update(pid=self.pid, pid_start=procs.start_of(self.pid))
        self._save()
        os.write(go_end, b"!")
        os.close(go_end)
        with os.fdopen(fault, "rb") as reader:
            return reader.read().decode("utf-8", "replace") or None

    def _enter(self) -> None:
        """In the child: the network and the mounts of its own, where there are any."""
        if self.namespace is not None:
            sandbox.enter(
                namespace=self.namespace,
                folder=self.folder,
                keep=self.launch.keep,
                mounts=self.launch.mounts,
                shm_mib=self.launch.shm_mib,
            )

    def _watch(self) -> None:
        poll = select.poll()
        poll.register(self.pipe, select.POLLIN)
        poll.register(self.wake, select.POLLIN)
        while not self.childless:
            for descriptor, _ in poll.poll(self._patience()):
                if descriptor == self.wake:
                    self._take_signals()
                elif not self._take_output():
                    poll.unregister(self.pipe)
            self._reap()
            # Asked to stop, the rest gets the time it was given; else it ends with its first one.
            if self.status is not None and self.stop_at is None:
                self.kill_all()
            self._act_on_time()
        while self._take_output():
            pass

    def _patience(self) -> int:
        """Milliseconds until something is due."""
        due = [at for at in self._deadlines() if at is not None]
        return max(0, int((min(due) - time.monotonic()) * 1000) + 1)

    def _deadlines(self) -> list[typing.Optional[float]]:
        return [self.stop_at, self.flush_at, self.notify_at, self.look_at, self.bound_at]

    def _take_signals(self) -> None:
        numbers = os.read(self.wake, 512)
        if signal.SIGTERM in numbers:
            self._begin_stop()

    def _begin_stop(self) -> None:
        asked = files.read_json(Path(STOP)) or {}
        stop_at = time.monotonic() + float(asked.get("seconds", SHUTDOWN_SECONDS))
        first = self.stop_at is None
        self.stop_at = min(stop_at, self.stop_at or stop_at)
        if first:
            self.state["stop_began_at"] = time.time()
            procs.signal_all(procs.descendants(os.getpid()), signal.SIGTERM)

    def _take_output(self) -> bool:
        """Read once; False when there is nothing and never will be."""
        try:
            data = os.read(self.pipe, 65536)
        except BlockingIOError:
            return not self.childless
        if not data:
            return False
        self._write(self.splitter.feed(data))
        self.flush_at = time.monotonic() + FLUSH_SECONDS if self.splitter.rest else None
        return True

    def _write(self, lines: list[str]) -> None:
        at = time.time_ns()
        self.writer.append([(at, line) for line in lines])
        if lines:
            self._notify()

    def _reap(self) -> None:
        try:
            pid = -1
            while pid != 0:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == self.pid:
                    self.status = status
        except ChildProcessError:
            self.childless = True

    def _act_on_time(self) -> None:
        now = time.monotonic()
        if self.flush_at is not None and now >= self.flush_at:
            self.flush_at = None
            self._write(self.splitter.flush())
        if self.notify_at is not None and now >= self.notify_at:
            self._notify(force=True)
        if now >= self.look_at:
            self.look_at = now + self.launch.look_seconds
            if not Path(STATE).exists():
                # Somebody deleted the agent's home: nobody will ever ask for this replica.
                self.kill_all()
        if self.stop_at is not None and now >= self.stop_at and not self.childless:
            self.state["killed"] = True
            self.kill_all()
        if self.bound_at is not None and now >= self.bound_at:
            self._look_at_bound(now)

    def _look_at_bound(self, now: float) -> None:
        """End what has all the processes that it may have: it would try for ever."""
        self.bound_at = now + BOUND_SECONDS
        if cgroups.is_full_of_processes(self.groups):
            self.bound_at = None
            self.state["too_many_processes"] = True
            self.kill_all()

    def kill_all(self) -> None:
        """End every descendant, also those that fork as fast as they die."""
        give_up_at = time.monotonic() + KILL_SECONDS
        cgroups.forbid_processes(self.groups)
        while not self.childless and time.monotonic() < give_up_at:
            if self.launch.uid is not None:
                _kill_user(self.launch.uid)
            procs.signal_all(procs.descendants(os.getpid()), signal.SIGKILL)
            time.sleep(0.01)
            self._reap()
        self.childless = True

    def _end(self, error: typing.Optional[str]) -> None:
        self._write(self.splitter.flush())
        if error is not None:
            _, self.status = os.waitpid(self.pid, 0)
        self.state.update(
            ended=True,
            ended_at=time.time(),
            exit_code=_exit_code(self.status),
            signal=os.WTERMSIG(self.status)
            if self.status is not None and os.WIFSIGNALED(self.status)
            else None,
            out_of_memory=cgroups.out_of_memory(self.groups),
            error=error,
        )
        cgroups.remove(self.groups)
        with contextlib.suppress(FileNotFoundError):
            self._save()
        self._notify(force=True)

    def _notify(self, *, force: bool = False) -> None:
        """Tell the agent, if there is one, that something happened; it also looks by itself."""
        now = time.monotonic()
        if not force and now - self.notified_at < NOTIFY_SECONDS:
            self.notify_at = self.notified_at + NOTIFY_SECONDS
            return
        self.notified_at, self.notify_at = now, None
        with contextlib.suppress(OSError):
            fifo = os.open(self.launch.wake, os.O_WRONLY | os.O_NONBLOCK)
            try:
                os.write(fifo, self.launch.id.encode() + b"\n")
            finally:
                os.close(fifo)


def _nothing(*_: object) -> None:
    """A handler is needed for set_wakeup_fd to write the signal's number."""


def _exit_code(status: typing.Optional[int]) -> typing.Optional[int]:
    """The code as a shell would show it: 128 + the signal's number for a killed process."""
    if status is None:
        return None
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _become(
    launch: Launch, *, go: int, out: int, fault: int, enter: typing.Callable[[], None]
) -> typing.NoReturn:
    """In the child: give up every right, then become the replica's first process."""
    try:
        os.setsid()
        if not os.read(go, 1):
            os._exit(1)  # the shim died before it noted our pid
        enter()
        _give_up_rights(launch.uid, launch.groups)
        _reset_signals()
        os.chdir(launch.working_dir)
        null = os.open(os.devnull, os.O_RDONLY)
        for ours, theirs in ((null, 0), (out, 1), (out, 2)):
            os.dup2(ours, theirs)
        os.execvpe(launch.argv[0], launch.argv, launch.env)
    except (OSError, ValueError) as error:
        os.write(fault, _why(launch, error).encode("utf-8", "replace"))
    finally:
        os._exit(127)


def _give_up_rights(uid: typing.Optional[int], groups: typing.Sequence[int]) -> None:
    os.umask(0o002 if groups else 0o022)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, OPEN_FILES), hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if uid is not None:
        os.setgroups(groups)
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    _control(PR_SET_NO_NEW_PRIVS, 1)
    _control(PR_SET_PDEATHSIG, signal.SIGKILL)


def _reset_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)


def _why(launch: Launch, error: typing.Union[OSError, ValueError]) -> str:
    if isinstance(error, ValueError):
        return f"the command or its environment cannot be passed to a process: {error}"
    if isinstance(error, sandbox.Refused):
        return str(error)
    if error.filename == launch.working_dir:
        return f"cannot enter the working folder {launch.working_dir}: {error.strerror}"
    if error.errno == errno.ENOENT:
        return f"command not found: {launch.argv[0]}"
    return f"cannot run {launch.argv[0]}: {error.strerror}"


def _kill_user(uid: int) -> None:
    """Kill all processes of the replica's own user in one call, which no fork can escape."""
    helper = os.fork()
    if helper == 0:
        with contextlib.suppress(OSError):
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            os.kill(-1, signal.SIGKILL)
        os._exit(0)
    os.waitpid(helper, 0)


def _control(option: int, value: int) -> None:
    """prctl: a right that the kernel does not know is one that we do without."""
    ctypes.CDLL(None, use_errno=True).prctl(option, ctypes.c_ulong(value), 0, 0, 0)
