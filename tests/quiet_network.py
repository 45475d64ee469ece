"""Run a program that never hears of the host's networks: `python quiet_network.py PROGRAM ...`.

A browser breaks off what it is loading (ERR_NETWORK_CHANGED) whenever an address of the host comes
or goes, and other tests make networks of their own all the time. So the kernel refuses it the
socket by which it would hear of that; everything else is as it was.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import socket
import struct
import sys
from pathlib import Path

PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 22, 38
FILTER = 2
# Of a filter (linux/filter.h): load a word, jump if it is equal, give the answer.
LOAD, IF_EQUAL, ANSWER = 0x20, 0x15, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | errno.EAFNOSUPPORT
# What a filter sees (linux/seccomp.h): the call's number, then where its first argument lies.
NUMBER, FIRST_ARGUMENT = 0, 16
SOCKET_CALL = {"x86_64": 41, "aarch64": 198}


class Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_char_p))


def launcher(program: str, *, folder: Path) -> str:
    """Return the path of a script in `folder` that runs `program` this way."""
    script = folder / Path(program).name
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "{__file__}" "{program}" "$@"\n')
    script.chmod(0o755)
    return str(script)


def refuse_netlink() -> None:
    """Let this process and its children open no netlink socket. Raise OSError."""
    steps = b"".join(
        (
            step(LOAD, NUMBER),
            step(IF_EQUAL, SOCKET_CALL[platform.machine()], skip_if_not=3),
            step(LOAD, FIRST_ARGUMENT),
            step(IF_EQUAL, socket.AF_NETLINK, skip_if_not=1),
            step(ANSWER, REFUSE),
            step(ANSWER, ALLOW),
        )
    )
    program = Program(len(steps) // 8, steps)
    libc = ctypes.CDLL(None, use_errno=True)
    for call in (
        (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (PR_SET_SECCOMP, FILTER, ctypes.byref(program), 0, 0),
    ):
        if libc.prctl(*call):
            raise OSError(ctypes.get_errno(), "the kernel takes no filter of system calls")


def step(code: int, value: int, *, skip_if_not: int = 0) -> bytes:
    return struct.pack("HBBI", code, 0, skip_if_not, value)


if __name__ == "__main__":
    refuse_netlink()
    os.execv(sys.argv[1], sys.argv[1:])
