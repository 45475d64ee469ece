"""The process that renders templates: `python -m gateway.tgi.child UID`, a socket as its input.

Frames: four bytes of length, then JSON from the parent; four bytes of length, a byte of kind, then
text back, in the order asked. It has an own user where it was started as root, no environment, no
other file or socket and no way to open one, bounded memory, and is ended by the kernel if one
rendering lasts longer than the parent would ever wait.
"""

from __future__ import annotations

import codecs
import importlib
import json
import os
import resource
import signal
import socket
import sys
from typing import Any

import jinja2
import jinja2.async_utils
import jinja2.constants
import jinja2.debug

from gateway.tgi import sandbox

DONE, REFUSED, READY, LEAVING = b"\0", b"\1", b"\2", b"\3"
MEMORY_BYTES = 512 * 2**20
# The parent kills after one second; this is for a parent that died meanwhile.
LAST_RESORT_SECONDS = 3
MESSAGE_CHARACTERS = 500
# What filters (`wordwrap`, `pprint`, `striptags`) and `str.encode` import at their first use.
LATE_MODULES = ("textwrap", "pprint", "html")
ENCODINGS = ("ascii", "latin-1", "cp1252", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32-le")

_compiled: dict[str, jinja2.Template] = {}


def main(uid: int) -> None:
    channel = socket.socket(fileno=0)
    environment = sandbox.environment()
    warm_up(environment)
    confine(uid)
    reply(channel, READY, "")
    waiting = bytearray()
    while chunk := channel.recv(2**18):
        waiting += chunk
        while len(waiting) >= 4 and len(waiting) >= (end := 4 + int.from_bytes(waiting[:4], "big")):
            frame = bytes(waiting[4:end])
            del waiting[:end]
            answer(channel, environment, frame)


def warm_up(environment: jinja2.Environment) -> None:
    """What Python imports late it must import before files are out of reach."""
    for name in LATE_MODULES:
        importlib.import_module(name)
    for name in ENCODINGS:
        codecs.lookup(name)
    try:
        environment.from_string("{{ raise_exception('x' | tojson) }}").render()
    except jinja2.TemplateError as error:
        str(error)
    environment.from_string("{{ strftime_now('%d %b') }}{{ lipsum(1) }}").render()


def confine(uid: int) -> None:
    os.chdir("/")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if uid:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    # Nothing more can be opened: no file, no socket.
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))


def answer(channel: socket.socket, environment: jinja2.Environment, frame: bytes) -> None:
    signal.setitimer(signal.ITIMER_REAL, LAST_RESORT_SECONDS)
    try:
        reply(channel, DONE, rendered(environment, json.loads(frame)))
    except MemoryError:
        # What filled the memory may still hold it, so this child ends.
        reply(channel, LEAVING, "it needs too much memory")
        os._exit(1)
    except sandbox.TooLong:
        reply(channel, REFUSED, f"it writes more than {sandbox.MOST_CHARACTERS} characters")
    except Exception as error:  # the outermost loop: a template may raise anything
        reply(channel, REFUSED, explain(error))
    signal.setitimer(signal.ITIMER_REAL, 0)


def rendered(environment: jinja2.Environment, asked: dict[str, Any]) -> str:
    if asked.get("forget"):
        _compiled.clear()
    template = _compiled.get(asked["key"])
    if template is None:
        template = _compiled[asked["key"]] = environment.from_string(asked["source"])
    return sandbox.render(template, asked["variables"], continues=asked["continues"])


def explain(error: Exception) -> str:
    """Return what the template did wrong; what this process lacks is told without its paths."""
    if isinstance(error, OSError | ImportError):
        return "it asks for something that templates have not: a file, a module or an encoding"
    said = str(error)[:MESSAGE_CHARACTERS].rstrip(" .") or type(error).__name__
    if isinstance(error, jinja2.TemplateSyntaxError):
        return f"line {error.lineno}: {said}"
    return said


def reply(channel: socket.socket, kind: bytes, text: str) -> None:
    body = kind + text.encode("utf-8", "surrogatepass")
    channel.sendall(len(body).to_bytes(4, "big") + body)


if __name__ == "__main__":
    main(int(sys.argv[1]))
