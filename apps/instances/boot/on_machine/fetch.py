"""Fetches the agent of a new machine and compares it with what the machine was told of.

`fetch.py` the agent, until it has it · `fetch.py URL FILE` anything else, once · `fetch.py
--cgroupfs FILE` tells Docker, in its daemon.json, which cgroup driver to take · `fetch.py --tell
WORDS` the server what the machine does before it has an agent. Python 3.9.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import ssl
import sys
import time
import urllib.request
from pathlib import Path

ENROLMENT = Path("/etc/dstack-agent/enrolment.json")
PROGRAM = Path("/opt/dstack-agent/agent.pyz")
CALL_SECONDS, TELL_SECONDS, LONGEST_PAUSE_SECONDS = 30.0, 5.0, 15.0
MOST_BYTES = 64 * 1024 * 1024


def say(text: str) -> None:
    sys.stdout.write(f"dstack-web: {text}\n")
    sys.stdout.flush()


def known_by(authority: str | None) -> ssl.SSLContext | None:
    """Return by what the server is known: where it was said, by that alone. Raise OSError."""
    return ssl.create_default_context(cadata=authority) if authority else None


def why(reason: object) -> str:
    if isinstance(reason, ssl.SSLCertVerificationError):
        return f"its certificate is refused: {reason.verify_message} (see DSTACK_AGENT_CA)"
    return str(reason)


def fetched(url: str, context: ssl.SSLContext | None = None) -> bytes:
    """Return what lies there. Raise OSError and ValueError."""
    asked = urllib.request.Request(url, headers={"User-Agent": "dstack-agent-boot"})
    with urllib.request.urlopen(asked, timeout=CALL_SECONDS, context=context) as answer:
        content: bytes = answer.read(MOST_BYTES)
        return content


def write(path: Path, content: bytes) -> None:
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_bytes(content)
    fresh.chmod(0o644)
    fresh.replace(path)


def problem(url: str, sha256: str, context: ssl.SSLContext | None = None) -> str:
    """Try to get the agent; return what is wrong, "" if it is there now."""
    try:
        content = fetched(url, context)
    except (OSError, ValueError) as error:
        return f"{url} cannot be reached: {why(getattr(error, 'reason', None) or error)}"
    if hashlib.sha256(content).hexdigest() != sha256:
        return f"what {url} has is not the agent that this machine was told of (SHA-256)"
    write(PROGRAM, content)
    return ""


def fetch_agent() -> None:
    told = json.loads(ENROLMENT.read_text(encoding="utf-8"))
    url = f"{told['url'].rstrip('/')}/api/agent/agent.pyz"
    pause, said, context = 0.5, "", known_by(told.get("authority"))
    while wrong := problem(url, told["program_sha256"], context):
        if wrong != said:
            said = wrong
            say(f"{wrong}; trying again")
        time.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE_SECONDS)


def tell(step: str) -> None:
    """Say what goes on; nothing waits for it, and nothing comes of it where nobody answers."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        told = json.loads(ENROLMENT.read_text(encoding="utf-8"))
        body = json.dumps({"enrolment": told["enrolment"], "step": step}).encode()
        asked = urllib.request.Request(
            f"{told['url'].rstrip('/')}/api/agent/step",
            body,
            {"User-Agent": "dstack-agent-boot", "Content-Type": "application/json"},
        )
        urllib.request.urlopen(
            asked, timeout=TELL_SECONDS, context=known_by(told.get("authority"))
        ).close()


def choose_cgroupfs(path: Path) -> None:
    known = {}
    with contextlib.suppress(OSError, ValueError):
        known = json.loads(path.read_text(encoding="utf-8"))
    options = [each for each in known.get("exec-opts", []) if "native.cgroupdriver" not in each]
    known["exec-opts"] = [*options, "native.cgroupdriver=cgroupfs"]
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, json.dumps(known, indent=2).encode())


def main(words: list[str]) -> int:
    if words[:1] == ["--cgroupfs"]:
        choose_cgroupfs(Path(words[1]))
    elif words[:1] == ["--tell"]:
        tell(words[1])
    elif words:
        try:
            write(Path(words[1]), fetched(words[0]))
        except (OSError, ValueError) as error:
            say(f"{words[0]} cannot be fetched: {error}")
            return 1
    else:
        fetch_agent()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
