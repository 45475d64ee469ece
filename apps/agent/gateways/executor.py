"""Runs a gateway: as root and in the host's network, for its ports are the machine's own."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

from apps.agent import wire
from apps.agent.gateways import install
from apps.agent.gateways.install import Folder
from apps.agent.host import files, ports, procs
from apps.agent.host.journal import say as journal
from apps.agent.processes import shim
from apps.agent.processes.process import ORDINARY_PATH, Process
from apps.agent.server.client import Client
from apps.agent.workloads.executor import Check, Place, PrepareFailed, Say
from apps.agent.workloads.host import Host
from apps.agent.workloads.workload import RECORD

# Of its environment, what becomes a file.
TOKEN, CA = "TOKEN", "ACME_CA"
PIN = "gateway@"
# Between tries to have another version: what is in the way may pass.
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 5.0, 300.0
OF_GATEWAY = "DSTACK_GATEWAY_"
# One takes the folder while the one before it leaves.
_FOLDER = threading.Lock()


class GatewayProcess(Process):
    """What it keeps lies beside the workloads: the next one on this machine goes on with it."""

    def __init__(self, *, spec: wire.WorkloadSpec, folder: Path, host: Host, client: Client):
        super().__init__(spec=spec, folder=folder, host=host)
        self._client = client
        self._kept = Folder(host.home.root / "gateway")
        self._renewing = threading.Lock()
        self._wanted = spec.wheel_sha256

    def prepare(self, *, say: Say, check: Check) -> list[str]:
        say("preparing folder")
        self.work.mkdir(mode=0o700, exist_ok=True)
        with _FOLDER:
            if not self._kept.home.exists():
                # One that ran here may have left its HAProxy there, which the next one takes over.
                self._require_ports()
            install.take(self._kept, self.spec.id)
        wanted = self.spec.wheel_sha256
        install.install(self._kept, wanted, client=self._client, say=say, check=check)
        install.make_current(self._kept, wanted)
        # Last: what never came this far leaves nothing.
        self._kept.home.mkdir(mode=0o700, exist_ok=True)
        # The address is there so that no port is taken for it: it has those of the machine.
        self._note(uid=None, isolated=False, cgroups=[], port=self.spec.container_port, address="")
        launch = shim.Launch(
            id=self.spec.id,
            argv=[*self._program(), "gateway", str(self._kept.current)],
            env=self._environment(),
            working_dir=str(self.work),
            uid=None,
            cgroups=[],
            wake=str(self.host.home.wake),
            max_output_bytes=self.host.max_output_bytes,
        )
        files.write_json(self.folder / shim.LAUNCH, launch._asdict())
        return []

    def _require_ports(self) -> None:
        """Raise PrepareFailed where another program of the machine has a port."""
        named = (
            (name, text) for name, text in self.spec.env.items() if name.startswith(OF_GATEWAY)
        )
        wanted = {int(text) for name, text in named if name.endswith("PORT") and text}
        if taken := sorted({one.port for one in ports.listeners(wanted)}):
            said = " and ".join(map(str, taken))
            raise PrepareFailed(
                f"another program of this machine listens on port {said}: end it there (`ss -ltnp` "
                "names it), or take another machine"
            )

    def _program(self) -> list[str]:
        return [sys.executable, "-I", "-S", str(self.host.home.program)]

    def _environment(self) -> dict[str, str]:
        """Return it without secrets: those lie in files that only root reads."""
        given = dict(self.spec.env)
        token = self._kept.root / "token"
        install.write_secret(token, given.pop(TOKEN, ""))
        if authority := given.pop(CA, ""):
            file = self._kept.root / "acme-ca.pem"
            install.write_secret(file, authority)
            given[f"{OF_GATEWAY}{CA}"] = str(file)
        if known_by := self._client.config.authority:
            file = self._kept.root / "control-ca.pem"
            install.write_secret(file, known_by)
            given |= {"DSTACK_GATEWAY_CONTROL_CA": str(file)}
        return {
            "HOME": str(self.work),
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            "PATH": ORDINARY_PATH,
            "DSTACK_GATEWAY_CONTROL_URL": self._client.config.url,
            **given,
            "DSTACK_GATEWAY_TOKEN_FILE": str(token),
            "DSTACK_GATEWAY_HOME": str(self._kept.home),
        }

    def renew(self, spec: wire.WorkloadSpec) -> None:
        """Have the version that the server wants now take the place of the one that runs."""
        self._wanted = spec.wheel_sha256
        if self._wanted in ("", self._kept.running) or not self.sight().is_running:
            return
        threading.Thread(target=self._renew, args=(self._wanted,), daemon=True).start()

    def _renew(self, wanted: str) -> None:
        with self._renewing:
            pause = FIRST_PAUSE_SECONDS
            while not self._has(wanted):
                if wanted != self._wanted or not self.sight().is_running:
                    return
                time.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            if wanted == self._kept.running:
                return
            install.make_current(self._kept, wanted)
            state = self._state() or {}
            if procs.start_of(state.get("pid", -1)) == state.get("pid_start"):
                procs.signal_all([state["pid"]], 1)
            install.forget_others(self._kept, wanted)

    def _has(self, wanted: str) -> bool:
        """Install a version; say what is in the way."""
        try:
            install.install(
                self._kept, wanted, client=self._client, say=journal, check=lambda: None
            )
        except (PrepareFailed, OSError) as error:
            journal(f"the server's gateway cannot be had, this one goes on: {error}")
            return False
        return True

    def place(self) -> Place:
        return Place(address=f"127.0.0.1:{self.spec.container_port}")

    def image_pin(self) -> str:
        return f"{PIN}{self._kept.running}" if self._kept.running else ""

    def remove(self) -> None:
        state = self._state()
        if state is not None and self._shim_lives(state):
            procs.signal_all([state["shim_pid"]], 9)
            self._kill_left(state)
        record = files.read_json(self.folder / RECORD) or {}
        if record.get("stop_reason") == wire.REASON_STOPPED or not self._kept.home.exists():
            with _FOLDER:
                install.forget(self._kept, self.spec.id)
