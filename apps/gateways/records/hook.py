"""The program by which a person has this server write records of the DNS, called as gateways call
theirs: `present` or `cleanup`, the record's full name with a dot at the end, and its value."""

from __future__ import annotations

import os
import subprocess

from django.conf import settings

SECONDS, MOST_CHARACTERS = 120, 300


class HookFailed(Exception):
    """Why it did not do it, for whoever set it."""


def is_set() -> bool:
    return bool(settings.DSTACK_GATEWAY_DNS_HOOK)


def call(action: str, name: str, value: str) -> None:
    """Raise HookFailed. It is called in workers for outside calls, and may be called again."""
    program = settings.DSTACK_GATEWAY_DNS_HOOK
    # What is this server's own is none of its business; keys of the DNS are.
    environ = {key: text for key, text in os.environ.items() if not _is_ours(key)}
    try:
        ran = subprocess.run(
            [program, action, f"{name}.", value],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            env=environ,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise HookFailed(f"{program} did not end in {SECONDS} s") from None
    except OSError as error:
        raise HookFailed(f"cannot run {program}: {error.strerror}") from None
    if ran.returncode:
        said = " ".join((ran.stderr or ran.stdout).split())[-MOST_CHARACTERS:]
        raise HookFailed(f"{program} {action} ended with {ran.returncode}: {said}")


def _is_ours(name: str) -> bool:
    return name.startswith("DSTACK_") or name in ("DATABASE_URL", "REDIS_URL")
