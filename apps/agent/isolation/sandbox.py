"""What a replica sees of the host's files and processes, where it has a network of its own.

Entered by the replica's first process while it is still root: its network, then mounts that only it
and its children see. `/tmp`, `/var/tmp` and `/dev/shm` are its own and end with it, `/proc` shows
its own processes alone, `/etc/hosts` and `/etc/resolv.conf` fit its network.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import typing
from pathlib import Path

CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWNET = 0x00020000, 0x08000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 0x1, 0x2, 0x4, 0x8
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 0x20, 0x1000, 0x4000, 0x40000
# Before, all mounts of /proc shared the option that hides processes.
HIDEPID_KERNEL = (5, 8)
TEMPORARY = ("/tmp", "/var/tmp")
SHARED_MEMORY = "/dev/shm"
TMP, VAR_TMP, HOSTS, RESOLVER = "tmp", "var-tmp", "hosts", "resolv.conf"
SYSTEMD_RESOLVER = Path("/run/systemd/resolve/resolv.conf")


class Refused(OSError):
    """The kernel does not let the replica have its own network or mounts."""


def furnish(folder: Path, uid: int, *, hostname: str) -> None:
    """Make in the workload's folder what `enter` puts in the place of the host's."""
    for name in (TMP, VAR_TMP):
        (folder / name).mkdir(mode=0o700, exist_ok=True)
        os.chown(str(folder / name), uid, uid)
    (folder / HOSTS).write_text(hosts(_read("/etc/hosts"), hostname))
    (folder / RESOLVER).write_text(resolver(_read("/etc/resolv.conf"), _read(SYSTEMD_RESOLVER)))
    for name in (HOSTS, RESOLVER):
        (folder / name).chmod(0o644)


def hosts(text: str, hostname: str) -> str:
    """Return the host's list of names, in which everything local is 127.0.0.1.

    A server that is told to listen on `localhost` must not choose ::1, which nothing reaches.
    """
    kept = [line for line in text.splitlines() if not _is_local(line, hostname)]
    return "\n".join([f"127.0.0.1 localhost {hostname}", *kept]) + "\n"


def _is_local(line: str, hostname: str) -> bool:
    address, *names = line.split("#")[0].split() or [""]
    return address.startswith("127.") or address == "::1" or hostname in names


def resolver(text: str, upstream: str) -> str:
    """Return how names are looked up: a server on the host's loopback is out of reach."""
    servers = [line.split()[1] for line in text.splitlines() if line.startswith("nameserver ")]
    if servers and all(server.startswith("127.") or server == "::1" for server in servers):
        return upstream or text
    return text


def _read(path: typing.Union[str, Path]) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def enter(
    *,
    namespace: int,
    folder: str,
    keep: typing.Sequence[str],
    mounts: typing.Sequence[typing.Sequence[str]] = (),
    shm_mib: typing.Optional[int] = None,
) -> None:
    """Move this process into the network and give it its own mounts. Raise OSError.

    `keep` are folders that it still needs where they lie below one that is replaced, `mounts` pairs
    of a folder of the machine and where it is to be seen.
    """
    call("setns", namespace, CLONE_NEWNET)
    call("unshare", CLONE_NEWNS | CLONE_NEWIPC)
    _mount("none", "/", flags=MS_REC | MS_PRIVATE)
    given = [(_folder(source), path) for source, path in mounts]
    replaced = (*TEMPORARY, SHARED_MEMORY)
    kept = {path: os.open(path, os.O_PATH) for path in keep if path.startswith(_below(replaced))}
    # Held, since /tmp may be where the folder itself lies.
    own = {
        at: os.open(f"{folder}/{name}", os.O_PATH) for at, name in zip(TEMPORARY, (TMP, VAR_TMP))
    }
    for name, at in ((HOSTS, "/etc/hosts"), (RESOLVER, "/etc/resolv.conf")):
        with contextlib.suppress(FileNotFoundError):
            _mount(f"{folder}/{name}", at, flags=MS_BIND)
    for at, descriptor in own.items():
        _bind(descriptor, at)
    shm = "mode=1777" if shm_mib is None else f"mode=1777,size={shm_mib}m"
    with contextlib.suppress(FileNotFoundError):
        _mount("tmpfs", SHARED_MEMORY, kind="tmpfs", flags=MS_NOSUID | MS_NODEV, data=shm)
    for path, descriptor in kept.items():
        _make_way(Path(path))
        _bind(descriptor, path)
    for descriptor, path in given:
        _mount_folder(descriptor, path)
    if kernel() >= HIDEPID_KERNEL:
        flags = MS_NOSUID | MS_NODEV | MS_NOEXEC
        _mount("proc", "/proc", kind="proc", flags=flags, data="hidepid=2")


def _below(folders: typing.Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{folder}/" for folder in folders)


def _make_way(path: Path) -> None:
    """Make an empty folder to bind to; whoever passes may not list what lies beside it."""
    for folder in (*reversed(path.parents), path):
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o711)


def _bind(descriptor: int, at: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        _mount(f"/proc/self/fd/{descriptor}", at, flags=MS_BIND | MS_REC)
    os.close(descriptor)


def _folder(path: str) -> int:
    """Open a folder that was found to be fit; another in its place now is refused."""
    descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)
    if str(Path(f"/proc/self/fd/{descriptor}").readlink()) != path:
        raise Refused(1, f"volumes: {path} is another folder than it was")
    return descriptor


def _mount_folder(descriptor: int, at: str) -> None:
    """Show a folder there, in which no program has rights of its own and nothing is a device."""
    if at.startswith(_below(TEMPORARY)):
        _make_way(Path(at))
    here = f"/proc/self/fd/{descriptor}"
    kept = os.statvfs(here).f_flag & (MS_RDONLY | MS_NOEXEC)
    _mount(here, at, flags=MS_BIND)
    _mount("none", at, flags=MS_REMOUNT | MS_BIND | MS_NOSUID | MS_NODEV | kept)
    os.close(descriptor)


def kernel() -> tuple[int, ...]:
    numbers = os.uname().release.split(".")[:2]
    return tuple(int("".join(c for c in number if c.isdigit()) or 0) for number in numbers)


def check() -> None:
    """Raise OSError where this process may not make mounts of its own; tried in a child."""
    child = os.fork()
    if child == 0:
        code = 1
        with contextlib.suppress(OSError):
            call("unshare", CLONE_NEWNS | CLONE_NEWIPC)
            _mount("none", "/", flags=MS_REC | MS_PRIVATE)
            _mount("tmpfs", "/tmp", kind="tmpfs")
            _mount("proc", "/proc", kind="proc")
            code = 0
        os._exit(code)
    if os.waitpid(child, 0)[1] != 0:
        raise Refused(1, "this process may not make mounts of its own")


def _mount(source: str, target: str, *, kind: str = "", flags: int = 0, data: str = "") -> None:
    texts = [text.encode() or None for text in (source, target, kind)]
    call("mount", *texts, ctypes.c_ulong(flags), data.encode() or None)


def call(name: str, *arguments: object) -> None:
    """Call the C library. Raise Refused."""
    function = getattr(ctypes.CDLL(None, use_errno=True), name)
    if function(*arguments) != 0:
        number = ctypes.get_errno()
        text = f"no network of its own for this replica: {name}: {os.strerror(number)}"
        raise Refused(number, text)
