"""`python -m apps.agent` and `agent.pyz`: the agent, or with `shim FOLDER [NAMESPACE]` one
replica's shim, with `gateway CURRENT` what keeps a gateway running."""

import sys

# A shim runs beside every replica: it must not load the whole agent.
if sys.argv[1:2] == ["shim"]:
    from apps.agent.processes.shim import main as shim

    def run() -> None:
        sys.exit(shim(sys.argv[2], *map(int, sys.argv[3:4])))

elif sys.argv[1:2] == ["gateway"]:
    from apps.agent.gateways.keeper import main as keeper

    def run() -> None:
        sys.exit(keeper(sys.argv[2]))

else:
    from apps.agent.main import main

    def run() -> None:
        sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    run()
