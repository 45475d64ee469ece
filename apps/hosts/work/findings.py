"""What the check of a host found: its facts, and one sentence about each. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from apps.backends import nvidia
from apps.backends.base import gigabytes
from apps.hosts.work import facts as facts_of

MARK = "dstack:"
PYTHON_PATH = re.compile(r"/[A-Za-z0-9._/+-]{1,200}")
LEAST_FREE_MIB, LEAST_MEMORY_MIB = 2048, 256
MOST_SKEW_SECONDS = 60.0
OK, WARNED, FAILED = "ok", "warned", "failed"


@dataclass(frozen=True)
class Step:
    """`state` is ok, warned (services run there all the same) or failed."""

    name: str
    state: str
    text: str

    def as_json(self) -> dict[str, str]:
        return asdict(self)


def read(output: str) -> dict[str, Any]:
    """Return the facts of a check's output, whatever else a login writes."""
    facts: dict[str, Any] = {}
    for line in output.splitlines():
        name, space, value = line.partition(" ")
        if not name.startswith(MARK) or not space:
            continue
        if name == f"{MARK}found":
            facts |= _found(value)
        else:
            facts[name.removeprefix(MARK)] = value.strip()[:300]
    return facts


def _found(text: str) -> dict[str, Any]:
    try:
        return facts_of.of_check(json.loads(text))
    except (ValueError, RecursionError):
        return {}


def left(output: str) -> list[str] | None:
    """Return the paths that a removal had to leave, None where it does not say."""
    try:
        said = json.loads(str(read(output).get("left")))
    except ValueError:
        return None
    return [_printable(str(each)) for each in said[:20]] if isinstance(said, list) else None


def last_line(errors: str) -> str:
    """Return what a program on the host said last."""
    return _printable((errors.strip().splitlines() or ["nothing was said"])[-1])


def _printable(text: str) -> str:
    return "".join(each for each in text if each.isprintable())[:200]


def steps(facts: Mapping[str, Any], *, user: str, now: float) -> list[Step]:
    """Return one sentence for each thing that was looked at."""
    return [*_basics(facts, user), *(_more(facts, now) if facts.get("cpus") else ())]


def _basics(facts: Mapping[str, Any], user: str) -> Iterator[Step]:
    system = str(facts.get("system") or "an unknown system")
    good = system == "Linux"
    yield Step("System", OK if good else FAILED, "Linux." if good else _no_linux(system))
    if not good:
        return
    root = facts.get("root")
    said = {"yes": "Logs in as root.", "sudo": f"{user} becomes root by sudo, without a password."}
    why = _no_sudo(user) if root == "alone" else _no_root(user)
    yield Step("Root", OK if root in said else FAILED, said.get(str(root), why))
    python = str(facts.get("python") or "")
    if not PYTHON_PATH.fullmatch(python):
        found = str(facts.get("python3") or "")
        there = f" (found {found})" if found.startswith("Python") else ""
        yield Step("Python", FAILED, f"Python 3.9 or newer is missing{there}: install python3.")
    elif not facts.get("cpus"):
        why = f"{python} does not run there as root, or says what cannot be."
        yield Step("Python", FAILED, why)
    else:
        yield Step("Python", OK, f"{(facts.get('pythons') or ['3'])[0]} at {python}.")


def _no_linux(system: str) -> str:
    return f"It runs {system[:40]}: services need Linux."


def _no_sudo(user: str) -> str:
    return f"{user} is not root, and sudo is missing there: log in as root, or install sudo."


def _no_root(user: str) -> str:
    return (
        f"sudo asks {user} for a password there: log in as root, or do without one by a line "
        f"`{user} ALL=(ALL) NOPASSWD: ALL` in /etc/sudoers.d/{user}."
    )


def _more(facts: Mapping[str, Any], now: float) -> Iterator[Step]:
    cpus, memory, free = (int(facts[key]) for key in ("cpus", "memory_mib", "free_mib"))
    has_memory, has_disk = memory >= LEAST_MEMORY_MIB, free >= LEAST_FREE_MIB
    yield Step("Processors and memory", OK if has_memory else FAILED,
               f"{cpus} CPUs, {gigabytes(memory)} of memory.")  # fmt: skip
    said = f"{gigabytes(free)} free of {gigabytes(int(facts['disk_mib']))} in /var/lib"
    yield Step("Disk", OK if has_disk else FAILED, said + ("." if has_disk else ": free some."))
    yield _gpus(facts, memory)
    yield _containers(facts)
    yield _clock(float(facts["time"]) - now)
    yield _tools(facts)
    yield _server(facts.get("server"))
    yield from _gateways(facts.get("gateways") or {})


def gpus(facts: Mapping[str, Any]) -> nvidia.Found:
    said = facts.get("gpus")
    if not isinstance(said, str):
        return nvidia.Found()
    return nvidia.read(said, host_memory_mib=int(facts.get("memory_mib") or 0))


def _gpus(facts: Mapping[str, Any], memory: int) -> Step:
    found = gpus(facts)
    kinds = [f"{each.count} x {each.name} ({gigabytes(each.memory_mib)})" for each in found.kinds]
    if found.problems:
        return Step("GPUs", WARNED, "; ".join([*kinds, *found.problems])[:500] + ".")
    if not kinds:
        why = "no nvidia-smi" if facts.get("gpus") is None else "nvidia-smi names none"
        return Step("GPUs", OK, f"None ({why}).")
    return Step("GPUs", OK, ", ".join(kinds) + ".")


def _containers(facts: Mapping[str, Any]) -> Step:
    images: Sequence[str] | None = facts.get("images")
    if images is None:
        return Step("Containers", WARNED, "No Docker answers: services run as processes only.")
    return Step("Containers", OK, f"Docker answers, with {len(images)} image names.")


def _clock(skew: float) -> Step:
    if abs(skew) <= MOST_SKEW_SECONDS:
        return Step("Clock", OK, "Goes as this server's.")
    where = "ahead of" if skew > 0 else "behind"
    said = f"Is {abs(skew):,.0f} s {where} this server's: set it, as with `timedatectl set-ntp on`."
    return Step("Clock", FAILED, said)


def _tools(facts: Mapping[str, Any]) -> Step:
    if facts.get("ssh"):
        return Step("Tunnels", OK, "ssh and ssh-keygen are there.")
    return Step("Tunnels", FAILED, "ssh or ssh-keygen is missing: install openssh-client(s).")


def _server(why: str | None) -> Step:
    if why is None:
        return Step("This server", OK, "The host calls it through a gateway.")
    if not why:
        return Step("This server", OK, "The host reaches it.")
    return Step("This server", FAILED, f"The host does not reach it: {why.rstrip('.')}.")


def _gateways(found: Mapping[str, str]) -> Iterator[Step]:
    for place, why in found.items():
        said = f"The host does not reach {place}, where tunnels end: {why.rstrip('.')}."
        yield Step("Gateway", FAILED if why else OK, said if why else f"The host reaches {place}.")
