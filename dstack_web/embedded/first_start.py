"""Makes the database ready: migrations and the first rows, in one process that loads Django.

Loading Django takes longer than anything else at a start, so it is left out when nothing that it
looks at has changed since it last succeeded on this very database.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import apps
from dstack_web.embedded import children
from dstack_web.embedded.children import Child, Plan
from dstack_web.embedded.supervisor import Supervisor
from dstack_web.processes import StartFailed

SECONDS = 120
CODE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Account:
    """The administrator's password and token, both known only at the very first start."""

    password: str | None = None
    token: str | None = None


def prepare(*, plan: Plan, supervisor: Supervisor) -> Account:
    """Migrate the database and make the first rows, where that is needed.

    Raise StartFailed and StopRequested.
    """
    wanted = fingerprint(plan)
    marker = plan.postgres.data / "dstack-prepared" if plan.postgres else None
    if marker and marker.exists() and marker.read_text() == wanted:
        return Account()
    answer = plan.home.folder("run") / "bootstrap.json"
    answer.unlink(missing_ok=True)
    code = supervisor.run_once(command(plan, answer), seconds=SECONDS)
    if code:
        raise StartFailed(failure(plan, code))
    account = read_account(answer)
    if marker:
        marker.write_text(wanted)
    return account


def command(plan: Plan, answer: Path) -> Child:
    env = {
        **children.server_env(plan),
        **children.picked(plan.environ, children.FIRST_START_ONLY),
        "DSTACK_GATEWAY_TOKEN": plan.secrets.gateway_token,
        "DSTACK_DB_POOL": "0",
    }
    words = ["django", "bootstrap", "--output", str(answer)]
    return Child(name="bootstrap", argv=[*children.PYTHON, *words], env=env)


def read_account(answer: Path) -> Account:
    try:
        found = json.loads(answer.read_text())
    finally:
        answer.unlink(missing_ok=True)
    if not found["first"]:
        return Account()
    return Account(password=found["password"], token=found["token"])


def failure(plan: Plan, code: int) -> str:
    log = plan.home.log("bootstrap")
    lines = log.read_text(errors="replace").strip().splitlines() or [f"code {code}"]
    return f"The database could not be made ready: {lines[-1].strip()[:300]} (its log: {log})"


def fingerprint(plan: Plan) -> str:
    """Name everything that `bootstrap` acts upon."""
    parts: list[str] = [str(plan.addresses), plan.secrets.gateway_token]
    for file in sorted(code_files()):
        facts = file.stat()
        parts.append(f"{file}:{facts.st_size}:{facts.st_mtime_ns}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def code_files() -> Iterable[Path]:
    for folder in apps.__path__:
        yield from Path(folder).glob("*/migrations/*.py")
    yield from CODE.glob("*.py")
