"""compose.yaml and the image's file fit the code that they start."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = (ROOT / "compose.yaml").read_text()


def test_make_env_writes_all_that_compose_asks_for(tmp_path: Path) -> None:
    asked = set(re.findall(r"\$\{(\w+):\?", COMPOSE))
    env = tmp_path / ".env"

    subprocess.run(
        [sys.executable, "-m", "dstack_web.embedded.compose_env", str(env)],
        cwd=ROOT,
        check=True,
        timeout=30,
    )

    written = dict(line.split("=", 1) for line in env.read_text().splitlines())
    # An .env of a version before lacks the last one: then nobody scrapes figures.
    assert asked | {"DSTACK_METRICS_TOKEN"} == set(written)
    assert all(len(value) >= 16 for value in written.values())
    assert env.stat().st_mode & 0o777 == 0o600


def test_make_env_never_replaces_secrets(tmp_path: Path) -> None:
    env = tmp_path / ".env"
    env.write_text("DSTACK_SECRET_KEY=kept\n")

    done = subprocess.run(
        [sys.executable, "-m", "dstack_web.embedded.compose_env", str(env)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
    )

    assert done.returncode == 1
    assert "remove it to make new secrets" in done.stderr
    assert env.read_text() == "DSTACK_SECRET_KEY=kept\n"


def test_compose_builds_targets_that_exist() -> None:
    services = yaml.safe_load(COMPOSE)["services"]
    targets = set(re.findall(r"^FROM .* AS (\w+)$", (ROOT / "Dockerfile").read_text(), re.M))

    wanted = {service["build"]["target"] for service in services.values() if "build" in service}

    assert wanted == {"server", "gateway"}
    assert wanted | {"base"} <= targets


def test_compose_has_every_component() -> None:
    services = set(yaml.safe_load(COMPOSE)["services"])

    assert services == {
        *("postgres", "valkey", "bootstrap", "web", "beat", "gateway"),
        *("worker-control", "worker-outside", "agent"),
    }
