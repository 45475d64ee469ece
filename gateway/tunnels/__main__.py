"""`python -m gateway.tunnels HOME`: takes away what lies outside of the home of a gateway that
is no more: the folder of its keys and, with the last of them, the user of those who came in."""

from __future__ import annotations

import sys
from pathlib import Path

from gateway.tunnels import sshd

if __name__ == "__main__":
    sshd.leave(Path(sys.argv[1]))
