"""How services run on the server's own machine, and what its agent and the command line read."""

from __future__ import annotations

from dstack_web.variables.variable import Kind, Part, Variable

SERVER, AGENT, CLI = Part.SERVER, Part.AGENT, Part.CLI
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

MACHINE = (
    Variable(
        name="DSTACK_BASE_IMAGE",
        default="dstack-web/base",
        empty_means="they are plain processes",
        parts=(SERVER,),
        says="What services without an `image` run in: a name with a registry, or one that `make "
        "images` built.",
    ),
    Variable(
        name="DSTACK_GPU_BASE_IMAGE",
        default="docker.io/pytorch/pytorch:2.5.1-cuda12.4-cudnn9-runtime",
        parts=(SERVER,),
        says="What services without an `image` run in on a cloud's machine with GPUs of NVIDIA, "
        "where `DSTACK_BASE_IMAGE` names no registry: Python and CUDA.",
    ),
    Variable(
        name="DSTACK_VOLUME_PATHS",
        kind=Kind.LIST,
        parts=(SERVER,),
        says="Folders of this machine and of other shared ones that any service may mount by "
        "`volumes`, such as `/srv/models`: each itself, not what lies below it.",
    ),
    Variable(
        name="DSTACK_HOST_NETWORKS",
        kind=Kind.NETWORKS,
        default="10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,100.64.0.0/10,fc00::/7",
        empty_means="none",
        parts=(SERVER,),
        says="Private networks in which projects may add hosts by ssh, and in which chats of the "
        "playground reach their gateways; public addresses are always allowed, those of this "
        "server, link-local, metadata and multicast never.",
    ),
    Variable(
        name="DSTACK_CACHE_DISK_GB",
        kind=Kind.WHOLE,
        default_is="half of the disk",
        unit="GB",
        parts=(SERVER,),
        says="What the model files of one project may take on a machine that several share; see "
        "[Isolation](/docs/isolation/).",
    ),
    Variable(
        name="DSTACK_ALLOW_UNISOLATED",
        kind=Kind.SWITCH,
        default="0",
        parts=(SERVER,),
        says="Members may deploy to this machine although nothing keeps services apart there.",
    ),
    Variable(
        name="DSTACK_AGENT_NETWORK",
        kind=Kind.CHOICE,
        default="own",
        choices=("own", "host"),
        parts=(AGENT,),
        says="`host`: services that are processes share the machine's network.",
    ),
    Variable(
        name="DSTACK_IMAGES_DISK_PERCENT",
        kind=Kind.NUMBER,
        default="85",
        most=100,
        unit="%",
        parts=(AGENT,),
        says="How full the container engine's disk may be before unused images are removed; 100 is "
        "never.",
    ),
    Variable(
        name="DSTACK_REPLICA_DISK_GB",
        kind=Kind.NUMBER,
        default_is="half of the disk",
        unit="GB",
        parts=(AGENT,),
        says="What one replica that is a process may have there, where its file does not say; see "
        "[Isolation](/docs/isolation/).",
    ),
)

COMMAND_LINE = (
    Variable(
        name="DSTACK_URL",
        kind=Kind.URL,
        default_is="from `config.yml`",
        parts=(CLI, AGENT),
        says="The server; with `DSTACK_TOKEN` no `config.yml` is needed.",
    ),
    Variable(
        name="DSTACK_TOKEN",
        kind=Kind.SECRET,
        default_is="from `config.yml`",
        parts=(CLI,),
        says="Token with which the server is asked.",
    ),
    Variable(
        name="DSTACK_PROJECT",
        default_is="from `config.yml`",
        parts=(CLI,),
        says="The project that commands are about.",
    ),
    Variable(
        name="DSTACK_PROFILE",
        parts=(CLI,),
        says="Profile of `.dstack/profiles.yml` that `dstack run` takes.",
    ),
)

DEVELOPMENT = (
    Variable(
        name="DSTACK_LOG_LEVEL",
        kind=Kind.CHOICE,
        default="INFO",
        choices=LEVELS,
        parts=(SERVER,),
        says="How much the server logs.",
    ),
    Variable(
        name="DSTACK_DEBUG",
        kind=Kind.SWITCH,
        default="0",
        parts=(SERVER, CLI),
        says="Pages of errors tell all, to whoever sees them, and the command line shows where a "
        "bug happened: never on a server that others reach.",
    ),
    Variable(
        name="DSTACK_STATIC_ROOT",
        kind=Kind.PATH,
        default_is="in the package, else `staticfiles`",
        parts=(Part.START, SERVER, Part.FRONT),
        says="Folder of the collected static files.",
    ),
)
