"""What a server has left on the machine, found by looking at every process."""

from __future__ import annotations

from pathlib import Path

from apps.agent.host import files, home, users

TEXTS = ("cmdline", "environ")


def processes_of(server_home: Path) -> list[str]:
    """List, as "pid command", the living processes that belong to a server.

    That is every process whose command, environment, working folder, program or open files name
    the server's home or the folder of its replicas. The caller must be allowed to look, and not
    have the home in its own environment.
    """
    places = [str(server_home), *map(str, replica_folders(server_home))]
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and any(names(entry, place) for place in places):
            found.append(f"{entry.name} {command_of(entry)}")
    return found


def replica_folders(server_home: Path) -> list[Path]:
    """Find the folders outside a home that an agent of root's keeps for it."""
    if not users.FALLBACK_BASE.is_dir():
        return []
    owners = {base: files.read_json(base / home.OWNER) for base in users.FALLBACK_BASE.iterdir()}
    return [
        base
        for base, owner in owners.items()
        if owner and Path(owner["root"]).is_relative_to(server_home.resolve())
    ]


def names(entry: Path, place: str) -> bool:
    try:
        links = [entry / "cwd", entry / "exe", *(entry / "fd").iterdir()]
        texts = [(entry / name).read_bytes().decode(errors="replace") for name in TEXTS]
    except OSError:  # it ended meanwhile, or is a process of the kernel
        return False
    return any(place in text for text in [*texts, *map(target, links)])


def target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""


def command_of(entry: Path) -> str:
    try:
        return (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return "(ended)"
