"""The agent's part of tunnels alone: reads what should be open, a line of JSON each."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from apps.agent import wire
from apps.agent.tunnels.keeper import Keeper


def main() -> None:
    addresses: dict[str, str] = {}
    keeper = Keeper(Path(sys.argv[1]), addresses.get)
    for line in sys.stdin:
        said = json.loads(line)
        addresses.update(said["addresses"])
        keeper.apply([wire.from_json(wire.Tunnels, each) for each in said["tunnels"]])
        sys.stdout.write(f"{keeper.public_key}\n")
        sys.stdout.flush()
    keeper.end()


main()
