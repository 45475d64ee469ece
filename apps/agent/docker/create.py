"""What the engine is told to create: a container from a workload's spec, without doing anything."""

from __future__ import annotations

import posixpath
import typing
from pathlib import Path

from apps.agent import wire
from apps.agent.caches.given import CONTAINER_PATH, Given
from apps.agent.docker.working_folder import working_dir
from apps.agent.host.home import Home
from apps.agent.isolation import cgroups
from apps.agent.workloads import script
from apps.agent.workloads.mounts import Mount

WORKLOAD_LABEL, HOME_LABEL, BASE_LABEL = "dstack.workload", "dstack.home", "dstack.base"
RUN_LABEL, PROJECT_LABEL = "dstack.run", "dstack.project"
# What is in an image is seen from inside only.
BASH_WHERE_IT_IS = """\
command -v bash >/dev/null 2>&1 && set -- bash "$2"
"""
# The first process of a container ignores SIGTERM unless it has a handler, and a shell that waits
# for a server has none. This one passes it on to all and waits until all have ended. Its first
# argument is the shell of the program, which is the second.
STOPPABLE = """\
trap 'asked=1; [ $$ -eq 1 ] && kill -TERM -1 2>/dev/null' TERM
"$1" -c "$2" &
child=$!
wait $child; code=$?
if [ -n "$asked" ]; then
  wait $child 2>/dev/null; code=$?
  while [ $$ -eq 1 ] && kill -0 -1 2>/dev/null; do sleep 0.1; done
fi
exit $code
"""
# Programs that are an init themselves; some of them refuse to be anything but the first process.
INITS = (
    *("init", "tini", "tini-static", "dumb-init", "docker-init", "catatonit", "my_init"),
    *("s6-svscan", "systemd", "runit", "runsvdir"),
)
# The engine keeps this much of the output for an agent that is away.
KEPT_OUTPUT = {"max-size": "50m", "max-file": "2"}
NANO = 1_000_000_000
MIB = 1024 * 1024


def description(
    spec: wire.WorkloadSpec,
    *,
    home: Home,
    image: dict[str, typing.Any],
    upload: typing.Optional[Path] = None,
    has_init: bool = True,
    network: str = "default",
) -> dict[str, typing.Any]:
    """Return the body of the call that creates the container.

    `image` is the image's own configuration, `upload` the folder with the person's files,
    `has_init` whether the engine has a first process to put before an image's own. Raise
    PrepareFailed.
    """
    port = f"{spec.container_port}/tcp"
    env = {**_defaults(image), **spec.env, "PORT": str(spec.container_port)}
    body: dict[str, typing.Any] = {
        "Image": spec.image,
        "Env": [f"{name}={value}" for name, value in env.items()],
        "Labels": {
            WORKLOAD_LABEL: spec.id,
            HOME_LABEL: home.home_id,
            BASE_LABEL: str(home.base),
            RUN_LABEL: spec.run_name,
            PROJECT_LABEL: spec.project,
        },
        "ExposedPorts": {port: {}},
        "User": spec.user or image.get("User") or "",
        "WorkingDir": working_dir(spec, image, upload),
        "HostConfig": _host_config(spec, port),
    }
    if spec.entrypoint is not None or spec.commands:
        # The image's own entrypoint would take the command for its arguments.
        body["Entrypoint"] = _command(spec)
        body["Cmd"] = []
    body["HostConfig"]["NetworkMode"] = network
    body["HostConfig"]["Init"] = has_init and not _is_first(body, image)
    return body


def furnish(
    body: dict[str, typing.Any], mounts: typing.Sequence[Mount], cache: typing.Optional[Given]
) -> None:
    """Add folders of the machine, and that of its project's model files."""
    if cache is not None:
        mounts = [*mounts, Mount(cache.folder, CONTAINER_PATH)]
        body["Env"] = [
            *(f"{name}={value}" for name, value in cache.variables.items()),
            *body["Env"],
        ]
        # Whatever user it runs as, it may write there.
        body["HostConfig"]["GroupAdd"] = [] if cache.group is None else [str(cache.group)]
    body["HostConfig"]["Mounts"] = [
        {"Type": "bind", "Source": each.source, "Target": each.path} for each in mounts
    ]


def _defaults(image: dict[str, typing.Any]) -> dict[str, str]:
    """What holds unless the image says something else: output is seen when it is written."""
    said = {entry.partition("=")[0] for entry in image.get("Env") or []}
    return {} if "PYTHONUNBUFFERED" in said else {"PYTHONUNBUFFERED": "1"}


def _is_first(body: dict[str, typing.Any], image: dict[str, typing.Any]) -> bool:
    """Whether what runs is made to be the first process: ours, or an init of the image's own."""
    own = image.get("Entrypoint") or image.get("Cmd") or []
    words = body.get("Entrypoint") or own
    program = posixpath.basename(words[0]) if words else ""
    return STOPPABLE in "".join(words) or program in INITS


def _command(spec: wire.WorkloadSpec) -> list[str]:
    if spec.entrypoint is not None:
        return script.checked(script.entrypoint(spec))
    shell = spec.shell
    program = script.program(spec.commands, shell=shell)
    if not script.is_bourne(shell):
        return script.checked([shell, "-c", program])
    wrapper = (BASH_WHERE_IT_IS if spec.prefers_bash else "") + STOPPABLE
    return script.checked([shell, "-c", wrapper, shell, shell, program])


def _host_config(spec: wire.WorkloadSpec, port: str) -> dict[str, typing.Any]:
    config: dict[str, typing.Any] = {
        "PortBindings": {port: [{"HostIp": "127.0.0.1", "HostPort": ""}]},
        "Privileged": spec.privileged,
        "PidsLimit": cgroups.MOST_PROCESSES,
        "LogConfig": {"Type": "json-file", "Config": KEPT_OUTPUT},
    }
    if spec.memory_limit_mib is not None:
        # The same for both means: no swap besides.
        config["Memory"] = config["MemorySwap"] = spec.memory_limit_mib * MIB
    if spec.cpu_limit is not None:
        config["NanoCpus"] = int(spec.cpu_limit * NANO)
    if spec.shm_size_mib is not None:
        config["ShmSize"] = spec.shm_size_mib * MIB
    if spec.gpu_indices:
        ids = [str(index) for index in spec.gpu_indices]
        config["DeviceRequests"] = [
            {"Driver": "nvidia", "DeviceIDs": ids, "Capabilities": [["gpu"]]}
        ]
    return config
