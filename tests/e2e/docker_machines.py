"""Machines that get Docker from their boot script, as those of clouds: Debian 13 without it."""

from __future__ import annotations

import dataclasses

from tests.e2e import gateway_machines
from tests.integration.instances import packages
from tests.integration.instances.virtual_machines import Image

INSTALLED = ("docker.io", "iptables")


def image() -> Image:
    files = packages.mounts(gateway_machines.SUITE, *INSTALLED)
    return dataclasses.replace(gateway_machines.image(), mounts=files, has_own_engine=True)
