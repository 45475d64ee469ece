"""Make what the machines of the tests start from, ahead of them: minutes that no test waits then.

`python -m tests.e2e.machine_images`
"""

from __future__ import annotations

from tests.e2e import docker_machines, gateway_machines
from tests.integration.instances.virtual_machines import Image, root_archive

if __name__ == "__main__":
    for image in (
        Image(),
        gateway_machines.image(),
        docker_machines.image(),
    ):
        root_archive(image)
