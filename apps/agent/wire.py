"""What the agent and the server say to each other; the only part of the agent that others import.

Four calls, all JSON over HTTP with `Authorization: Bearer dsk_a_...` (one token per instance):

- `GET  /api/agent/assignment?since=REVISION&wait=SECONDS` -> Assignment: everything that should be
  on the instance. Answers at once when the revision differs from `since`, else when it changes or
  after `wait` seconds (then with the same revision).
- `POST /api/agent/report` Report -> Receipt: everything that is on the instance; sent at each
  change and at least every 10 seconds. A report is whole, so a lost one costs nothing.
- `POST /api/agent/logs` LogBatch -> LogReceipt: output lines; a line is kept by the agent until it
  is acknowledged, and one that is sent twice is stored once.
- `POST /api/agent/usage` UsageBatch -> {}: what workloads use of the host, every 10 seconds.

Besides: `GET /api/agent/blobs/HASH` -> the uploaded archive (tar.gz) of one of its workloads, and
`GET /api/agent/gateway.whl` -> the server's gateway, for an instance that has one to run; and
without a token `GET /api/agent/agent.pyz` -> the agent as the server has it, and
`POST /api/agent/enrol` Enrolment -> Enrolled: the agent of a new machine makes its token itself.
The same again gets the same answer; 401 is for good. The agent of a machine that a person lent,
and took back, is answered 410: it ends what it runs and leaves the machine.

A message of version N is understood by version N+1: fields are only added, with a default, and
unknown fields are ignored by `from_json`. Standard library only, Python >= 3.9.
"""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass, field

from apps.agent.messages import from_json as from_json
from apps.agent.messages import to_json as to_json

WIRE_VERSION = 1

KIND_GATEWAY = "gateway"

# States of a workload as the agent reports them.
ASSIGNED = "assigned"  # known, nothing done yet
PULLING = "pulling"  # fetching the upload or the image, preparing the folder
RUNNING = "running"  # the process lives; `ready` tells whether its probes pass
EXITED = "exited"  # ended, for whatever reason; final

# Why a workload exited (`WorkloadReport.reason`).
REASON_EXITED = "exited"  # by itself; see exit_code
REASON_STOPPED = "stopped"  # it was asked to
# The agent or its host went down: replaced whatever `retry` is.
REASON_HOST_STOPPED = "host_stopped"
# The message of the first of both, with more behind it where something was amiss.
AGENT_STOPPED = "the agent of its host was stopped"
REASON_PREPARE_FAILED = "prepare_failed"  # upload, image, interpreter or folder; see message
REASON_PORT_TAKEN = "port_taken"  # it listens nowhere, and the spec's port belongs to another
REASON_OUT_OF_MEMORY = "out_of_memory"
REASON_OVER_BOUND = "over_bound"  # it used more than it may of something else; see message
REASON_ENGINE_AWAY = "engine_away"  # no container engine answers where it was to start

# The `phase` of a workload whose engine is away: it may run, and nothing is known until then.
PHASE_ENGINE_AWAY = "waiting for its container engine"


@dataclass(frozen=True)
class ProbeSpec:
    """One probe. `kind` "tcp" opens the port; "http" sends a request and wants a 2xx answer.

    With `accepts_refusal` any answer below 500 is good enough: the server is there, and it is only
    the request that it does not like. An older agent does not know it and wants 2xx.
    """

    kind: str = "tcp"
    method: str = "GET"
    url: str = "/"
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: typing.Optional[str] = None
    timeout_seconds: float = 10.0
    interval_seconds: float = 15.0
    ready_after: int = 1
    until_ready: bool = False
    accepts_refusal: bool = False


@dataclass(frozen=True)
class MountSpec:
    """A folder of the machine, `source`, that a replica sees at `path`; one that is `optional` is
    left out where it cannot be had."""

    source: str
    path: str
    optional: bool = False


@dataclass(frozen=True)
class WorkloadSpec:
    """One thing that should run on the instance.

    `desired` is "run" or "stop"; a stopped workload stays in the assignment until its exit was
    reported, then it is left out and the agent removes its folder. `env` is complete but for what
    only the instance knows (PORT, PATH, HOME, LANG). `commands` run one after the other in one
    `shell`, each only if the one before succeeded; with `prefers_bash` in bash where there is one
    (an older agent does not know it and takes `shell`). `image_pin` is the image that the run's
    first replica got for `image` (see WorkloadReport). A gateway (`kind`) is run from the server's
    wheel of this SHA-256, and an older agent finds nothing in it that it could run. Where it
    `owns_machine`, what mounts need may be made there. An older agent mounts nothing. `cache` names
    the folder of model files that it shares with those of the same name.
    """

    id: str
    name: str
    run_id: str = ""
    run_name: str = ""
    project: str = ""
    desired: str = "run"
    kind: str = "replica"
    wheel_sha256: str = ""
    executor: str = "process"  # or "docker"
    image: typing.Optional[str] = None
    image_pin: typing.Optional[str] = None
    registry_username: typing.Optional[str] = None
    registry_password: typing.Optional[str] = None
    entrypoint: typing.Optional[str] = None
    commands: list[str] = field(default_factory=list)
    shell: str = "sh"
    prefers_bash: bool = False
    working_dir: typing.Optional[str] = None
    user: typing.Optional[str] = None
    privileged: bool = False
    python: typing.Optional[str] = None
    env: dict[str, str] = field(default_factory=dict)
    upload_hash: typing.Optional[str] = None
    upload_limit_bytes: int = 2 * 2**30
    # Seconds since 1970 of files that must not have the archive's time; "" is all others.
    upload_times: dict[str, int] = dataclasses.field(default_factory=dict)
    container_port: int = 8000
    gpu_indices: list[int] = field(default_factory=list)
    cpu_limit: typing.Optional[float] = None
    memory_limit_mib: typing.Optional[int] = None
    shm_size_mib: typing.Optional[int] = None
    disk_limit_mib: typing.Optional[int] = None
    stop_seconds: float = 300.0
    probes: list[ProbeSpec] = field(default_factory=lambda: [ProbeSpec()])
    mounts: list[MountSpec] = field(default_factory=list)
    owns_machine: bool = False
    cache: str = ""


@dataclass(frozen=True)
class Forward:
    """`port` of the gateway's loopback leads to a workload of the instance."""

    port: int
    workload_id: str


@dataclass(frozen=True)
class Tunnels:
    """What is to be open to one gateway: by OpenSSH at `host`, `port` as `user`, where nothing but
    `host_key` is believed."""

    host: str
    port: int
    user: str
    host_key: str
    forwards: list[Forward] = field(default_factory=list)


@dataclass(frozen=True)
class CacheRules:
    """How long model files that nobody uses are kept (None: for ever), how much those of a project
    may take where that `is_bounded` (None: half of the disk), and the ids of those to remove."""

    keep_seconds: typing.Optional[float] = None
    is_bounded: bool = True
    limit_mib: typing.Optional[int] = None
    clear: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Assignment:
    """`program_sha256` is that of the server's own `GET /api/agent/agent.pyz`, "" where unknown."""

    revision: int
    instance_id: str
    workloads: list[WorkloadSpec] = field(default_factory=list)
    program_sha256: str = ""
    tunnels: list[Tunnels] = field(default_factory=list)
    caches: CacheRules = field(default_factory=CacheRules)
    wire: int = WIRE_VERSION


@dataclass(frozen=True)
class WorkloadReport:
    """What one workload is. `address` is "host:port" where the gateway reaches it.

    `ready` is True while its probes pass (None before the first result), `probe_message` the last
    failure in words, or the refusal that was accepted. `last_lines` are the last 20 output lines,
    sent with the exit only. `image_pin` means the very image that it runs: name@digest, or the id
    of one that was made on the instance. `phase` names what a workload that is not ready does
    ("fetching files", "pulling image 1.2/3.4 GB", "starting"). Times are RFC 3339 in UTC.
    """

    id: str
    state: str = ASSIGNED
    ready: typing.Optional[bool] = None
    phase: str = ""
    probe_message: str = ""
    image_pin: str = ""
    address: typing.Optional[str] = None
    pid: typing.Optional[int] = None
    started_at: typing.Optional[str] = None
    ready_at: typing.Optional[str] = None
    exited_at: typing.Optional[str] = None
    exit_code: typing.Optional[int] = None
    reason: typing.Optional[str] = None
    message: str = ""
    last_lines: list[str] = field(default_factory=list)


# What keeps process replicas of one host apart.
ISOLATED_BY_NETWORK = "network"  # a user and a network of its own each
ISOLATED_BY_USER = "user"  # a user of its own each; they share the host's network
ISOLATED_BY_NOTHING = "none"  # they run as the agent's own user


@dataclass(frozen=True)
class Isolation:
    """How replicas that are processes are kept apart, and why not better; empty where not known.
    `unbounded` says why nothing bounds their memory and number of processes; "" where it does."""

    level: str = ""
    why: str = ""
    unbounded: str = ""


@dataclass(frozen=True)
class CacheReport:
    """Model files of `key` (`WorkloadSpec.cache`); made anew they have another `id`."""

    id: str
    key: str
    bytes: typing.Optional[int] = None
    used_at: str = ""


@dataclass(frozen=True)
class Hardware:
    """What a machine that a person lent has. `gpus` is what its nvidia-smi says, None where there
    is none; `images` are the names of those of its container engine, None where none answers."""

    cpus: int
    memory_mib: int
    disk_mib: int
    gpus: typing.Optional[str] = None
    images: typing.Optional[list[str]] = None
    pythons: list[str] = field(default_factory=list)
    shells: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Report:
    """Everything that is. `boot_id` changes when the host or the agent's home is made anew.

    `hardware` comes with the first report, and when it is another one, None in between.
    `spot_notice` is when the cloud ends the machine, RFC 3339; "" while it has said nothing.
    """

    boot_id: str
    agent_version: str = ""
    hostname: str = ""
    workloads: list[WorkloadReport] = field(default_factory=list)
    stopping: bool = False
    isolation: Isolation = field(default_factory=Isolation)
    ssh_public_key: str = ""
    spot_notice: str = ""
    caches: list[CacheReport] = field(default_factory=list)
    hardware: typing.Optional[Hardware] = None
    wire: int = WIRE_VERSION


@dataclass(frozen=True)
class Receipt:
    revision: int


@dataclass(frozen=True)
class LogLine:
    """`seq` counts the workload's lines from 0 without a gap; `at` is RFC 3339 in UTC."""

    seq: int
    at: str
    text: str


@dataclass(frozen=True)
class WorkloadLog:
    id: str
    lines: list[LogLine] = field(default_factory=list)


@dataclass(frozen=True)
class LogBatch:
    logs: list[WorkloadLog] = field(default_factory=list)
    wire: int = WIRE_VERSION


@dataclass(frozen=True)
class LogReceipt:
    """The next `seq` that the server wants, by workload; lines below it may be forgotten."""

    next_seq: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class UsageSample:
    """What one workload used in the seconds before `at` (since 1970); None is not known.

    `cpu_cores` is processor time by time. GPUs are those of the workload alone: their mean load in
    percent and that of the busiest, their memory together.
    """

    id: str
    at: float
    cpu_cores: float
    memory_bytes: int
    cpu_limit: typing.Optional[float] = None
    memory_limit_bytes: typing.Optional[int] = None
    disk_bytes: typing.Optional[int] = None
    gpu_percent: typing.Optional[float] = None
    gpu_percent_max: typing.Optional[float] = None
    gpu_memory_bytes: typing.Optional[int] = None
    gpu_memory_total_bytes: typing.Optional[int] = None


@dataclass(frozen=True)
class UsageBatch:
    samples: list[UsageSample] = field(default_factory=list)
    wire: int = WIRE_VERSION


@dataclass(frozen=True)
class Enrolment:
    """`enrolment` is the secret that the machine booted with, good for one token; the key is a line
    as of `ssh-keygen`, "" where none could be made."""

    enrolment: str = field(repr=False)
    token_sha256: str
    ssh_public_key: str = ""
    wire: int = WIRE_VERSION


@dataclass(frozen=True)
class BootStep:
    """What a machine does that has no agent yet, in its own words."""

    enrolment: str = field(repr=False)
    step: str


@dataclass(frozen=True)
class Enrolled:
    instance_id: str
