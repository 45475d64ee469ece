"""Our own examples follow our own warning: what runs as a process listens on loopback alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from apps.runs.starters import EMPTY, STARTERS

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"```[a-z]*\n(.*?)```", re.S)
HEREDOC = re.compile(r"<<'?(\w+)'?\n(.*?)\n\1\n", re.S)
# A server that listens everywhere unless told otherwise -> what tells it otherwise.
SERVERS = {
    r"-m http\.server": r"(--bind|-b)[ =]",
    r"\bvllm serve|vllm\.entrypoints": r"--host[ =]",
    r"text-generation-launcher": r"--hostname[ =]",
    r"\bfastapi run": r"--host[ =]",
    r"\bstreamlit run": r"--server\.address[ =]",
    r"\b(busybox )?httpd\b.*-p": r"-p \S+:",
    r"\bnpx serve|\bhttp-server\b": r"(-l|-a|--listen)[ =]",
    r"\bnext start": r"(-H|--hostname)[ =]",
    r"TCP6?-LISTEN": r"bind=",
    r"\.listen\([^,)]*\)": r"$^",
}
EVERYWHERE = re.compile(r"0\.0\.0\.0|\[::\]|(--host|--bind|-b|--hostname)[ =]['\"]?(::|:\$|\*)|"
                        r"\(\s*['\"]['\"]\s*,")  # fmt: skip


def listens_everywhere(commands: str) -> bool:
    """Whether a command of a service without an image listens on every address."""
    if EVERYWHERE.search(commands):
        return True
    return any(
        re.search(server, line) and not re.search(told, line)
        for line in commands.splitlines()
        for server, told in SERVERS.items()
    )


def examples() -> list[tuple[str, str]]:
    """Every service that we show, with where."""
    found = [(f"starter {starter.key}", starter.text) for starter in STARTERS]
    found.append(("the text that Deploy begins with", EMPTY))
    for path in [ROOT / "README.md", *sorted((ROOT / "templates").rglob("*.md"))]:
        text = path.read_text()
        blocks = [*FENCE.findall(text), *(block for _, block in HEREDOC.findall(text))]
        shown = [block for block in blocks if "commands:" in block and "<<" not in block]
        found += [(f"{path.name}: {block[:40]!r}", block) for block in shown]
    for path in sorted((ROOT / "templates").rglob("*.html")):
        found += [(path.name, line) for line in path.read_text().splitlines() if "$PORT" in line]
    return found


def commands_of(text: str) -> str:
    """What a process would run: nothing where an image makes it a container."""
    try:
        loaded = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    if not isinstance(loaded, dict):
        return text
    return "" if "image" in loaded else "\n".join(map(str, loaded.get("commands") or []))


@pytest.mark.parametrize("place", [place for place, _ in examples()])
def test_no_example_listens_everywhere(place: str) -> None:
    text = dict(examples())[place]

    assert not listens_everywhere(commands_of(text))


def test_finds_the_examples() -> None:
    places = " ".join(place for place, _ in examples())

    assert "README.md" in places
    assert "services.md" in places
    assert "starter hello" in places


@pytest.mark.parametrize(
    ("command", "everywhere"),
    [
        ("python3 -m http.server $PORT", True),
        ("python3 -m http.server $PORT --bind 127.0.0.1", False),
        ("python3 -m http.server --bind $DSTACK_HOST $PORT", False),
        ("python3 -m http.server -b 0.0.0.0 $PORT", True),
        ("python3 -m http.server --bind :: $PORT", True),
        ("uvicorn app:app --port $PORT", False),
        ("uvicorn app:app --host 0.0.0.0 --port $PORT", True),
        ("gunicorn -b :$PORT app", True),
        ("gunicorn -b 127.0.0.1:$PORT app", False),
        ("vllm serve m --port $PORT", True),
        ("vllm serve m --port $PORT --host $DSTACK_HOST", False),
        ("text-generation-launcher --port $PORT", True),
        ("fastapi run app.py", True),
        ("busybox httpd -f -p $PORT", True),
        ("busybox httpd -f -p $DSTACK_HOST:$PORT", False),
        ("HTTPServer(('', port), H).serve_forever()", True),
        ("HTTPServer(('127.0.0.1', port), H).serve_forever()", False),
        ("http.createServer(f).listen(process.env.PORT)", True),
        ("http.createServer(f).listen(process.env.PORT, process.env.DSTACK_HOST)", False),
        ("socat TCP-LISTEN:$PORT,fork -", True),
    ],
)
def test_knows_what_listens_everywhere(command: str, everywhere: bool) -> None:
    assert listens_everywhere(command) == everywhere
