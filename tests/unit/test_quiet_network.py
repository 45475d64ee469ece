from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests import quiet_network

ASKS = """
import errno, socket
socket.socket(socket.AF_INET).close()
try:
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)
except OSError as error:
    print(errno.errorcode[error.errno])
"""


def test_a_program_hears_nothing_of_the_networks_of_the_host(tmp_path: Path) -> None:
    found = quiet_network.launcher(sys.executable, folder=tmp_path)

    done = subprocess.run([found, "-c", ASKS], capture_output=True, text=True, check=True)

    assert done.stdout == "EAFNOSUPPORT\n"
