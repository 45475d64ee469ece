"""P17: how soon the agent of a new machine reports, and how soon a stopped machine is gone.

    pytest tests/bench/boot_p17.py -s

The machine is a container with systemd in a network namespace, which boots for real what AWS, an
emulator here, was asked to boot; what it would install is there already. Server, database, emulator
and machine share the cores.
"""

from __future__ import annotations

import time

import pytest
from django.utils import timezone

from apps.instances import services
from apps.instances.models import Instance
from tests.integration.instances.test_boot import Wanted, cloud, server, wait, wanted
from tests.integration.instances.virtual_machines import Cloud

__all__ = ["cloud", "server", "wanted"]

ROUNDS = 3
MOST_BOOT_SECONDS, MOST_END_SECONDS = 15.0, 10.0


@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(300)
@pytest.mark.parametrize("number", range(1, ROUNDS + 1))
def test_p17(number: int, cloud: Cloud, wanted: Wanted) -> None:
    began = time.monotonic()
    machine = cloud.boot(f"bench{number}", wanted.user_data)
    wait(lambda: Instance.objects.get().reported_at is not None, machine)
    reports = time.monotonic() - began
    wait(lambda: wanted.seen().ready, machine)
    ready = time.monotonic() - began

    began = time.monotonic()
    services.stop_workloads(workloads=[wanted.workload], at=timezone.now(), stop_seconds=5)
    wait(lambda: wanted.advance().state == "terminated", machine)
    gone = time.monotonic() - began
    machine.end()
    print(
        f"\nthe agent reports {reports:.1f} s after the boot, its replica is ready after", end=" "
    )
    print(f"{ready:.1f} s; after a stop AWS says that the machine is gone within {gone:.1f} s")
    assert reports <= MOST_BOOT_SECONDS
    assert gone <= MOST_END_SECONDS
