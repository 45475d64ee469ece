"""Keys that people bring along from Compose, Kubernetes and other kinds of dstack files.

Each has a sentence that says what is done here instead. They are found whatever their case and
dashes; a key with a slip of the pen is taken for the nearest one that is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

_BUILD = "nothing is built here: build an image, push it to a registry and name it with `image`"
_PORT = (
    "a service has one port, the one on which it listens: `port: 8000`; a second one needs a "
    "service of its own"
)
_ENV = "use `env`"
_COMMANDS = "use `commands`, a list of shell commands"
_FIRST = "put what prepares before the others in `commands`"
_RANGE = "use `replicas`, a number or a range such as 0..4 with `scaling`"
_PROBES = "use `probes`"
_STORAGE = (
    "nothing that a replica writes outlives it: upload files with the service, and keep data in a "
    "database or an object store"
)
_NETWORK = "each service has an address of its own: call others by theirs"
_RIGHTS = "it cannot be chosen: a container has its engine's defaults, or `privileged: true`"
_PLACE = "use `backends`, `regions` or `instance_types`"
_AUTH = "use `registry_auth` with username and password"
_SECRET = "write `${{ secrets.NAME }}` as a value in `env`"
_RETRY = "a replica that was ready is replaced by itself; for the others use `retry`"
_GONE = "remove it"
_ONE = "a file holds one service: write `type: service` with its own keys at the top"
_CLUSTER = "a service runs each replica on one machine: use `replicas`"
_IDLE = "use `replicas: 0..N` with `scaling`: without requests a service goes to sleep"
_FOLDER = "use `working_dir`; the folder that is deployed is uploaded as a whole"
_TAG = "it cannot be chosen: name the tag or digest that shall run in `image`"
_STOP = "use `stop_duration`"

# Advice -> the keys, without case and dashes.
_SERVICE = {
    _BUILD: "build dockerfile buildargs buildcommand containerfile context",
    _PORT: "ports expose containerport targetport internalport portmappings portbindings",
    _ENV: "environment environments envs envvars envvar variables",
    "write the variables in `env`, or pass them with `-e NAME=VALUE`": "envfile envfrom dotenv",
    _COMMANDS: "cmd cmds command script scripts run startcommand exec",
    "put arguments into `commands`, behind the program": "args arguments runargs",
    _FIRST: "init initcommands initcontainers prestart beforescript install onstart",
    _RANGE: "autoscaling autoscale autoscaler scale minreplicas maxreplicas replicacount "
    "mininstances maxinstances numinstances minscale maxscale minworkers maxworkers hpa",
    "use `scaling.target`": "targetqps targetqpsperreplica targetrps",
    _PROBES: "healthcheck healthchecks healthcheckpath health livenessprobe readinessprobe "
    "startupprobe",
    "use `probes` and `start_duration`": "initialdelayseconds startupdeadline",
    _STORAGE: "volumemounts mounts tmpfs filemounts storage disks artifacts cache persistence",
    _NETWORK: "dependson links networks networkmode dns extrahosts aliases",
    "its address comes from `name` and `gateway`": "hostname host domain domainname url ingress "
    "route routes httpservice subdomain",
    "its path is /services/PROJECT/NAME/ at the gateway; see `strip_prefix`": "pathprefix "
    "basepath path",
    "use `name`": "containername app runname servicename",
    "use `image`": "containers container baseimage",
    _RIGHTS: "capadd capdrop securityopt securitycontext devices ulimits sysctls pid ipc readonly "
    "usernsmode groupadd cgroup runtime",
    "use `resources`": "limits requests",
    "use `resources.gpu`": "gpus accelerators accelerator gpucount gputype",
    "use `resources.memory`": "memlimit mem ram memoryreservation",
    "use `resources.cpu`": "cpus vcpu vcpus cpucount",
    "use `replicas` and `resources`": "deploy",
    _PLACE: "nodeselector affinity tolerations nodename zones placement sshconfig",
    "use `backends`, a list": "cloud provider backendtype",
    _AUTH: "imagepullsecrets registry credentials auths registrycredentials",
    _TAG: "imagepullpolicy pullpolicy",
    _SECRET: "secret secrets configs configmap",
    "use `tags`": "labels annotations metadata",
    _RETRY: "restart restartpolicy retries maxretries backofflimit",
    _STOP: "stopgraceperiod terminationgraceperiodseconds graceperiod stopsignal stoptimeout",
    "use `max_duration` for the run, `idle_timeout` for answers that stand still, or "
    "`probes.timeout`": "timeout timeouts requesttimeout",
    "use `max_concurrency`": "concurrency maxconcurrentrequests containerconcurrency",
    _IDLE: "inactivityduration autostop autosleep sleepafter scaletozero",
    _CLUSTER: "nodes numnodes blocks masternode",
    "it belongs to `type: dev-environment`, which is not supported": "ide",
    _FOLDER: "workdir workingdirectory cwd rootdir",
    "use `python`": "pythonversion",
    "use `model`": "modelname models servedmodelname",
    "use `auth: false` to let everybody in": "public ispublic authentication",
    "headers cannot be added: let the service send them": "headers cors",
    _GONE: "version stdinopen tty logging extends platform priorityclassname serviceaccountname "
    "notebook cuda conda",
    _ONE: "services apiversion kind spec template selector jobs tasks workflows profiles",
}
_RESOURCES = {
    "write the amount itself, such as `memory: 16GB..`": "limits requests",
    "use `cpu`": "cpus vcpu vcpus cores",
    "use `memory`": "mem ram memlimit",
    "use `gpu`": "gpus accelerators accelerator gpucount nvidiacomgpu",
    "use `disk`": "storage disksize ephemeralstorage",
    _PLACE: "instancetype instancetypes cloud region zone",
}
_SCALING = {
    "use `replicas: MIN..MAX` beside `scaling`": "min max minreplicas maxreplicas replicas",
    "use `target`": "targetvalue targetqps value threshold",
    "use `scale_up_delay` and `scale_down_delay`": "cooldown cooldownperiod delay",
    "use `metric`": "type metrics",
}
_PROBE = {
    "use `url`, a path such as /health": "path httpget endpoint",
    "a probe goes to the service's own port": "port host",
    "use `interval`": "period periodseconds intervalseconds",
    "use `timeout`": "timeoutseconds",
    "use `ready_after`": "successthreshold healthythreshold",
    "use `start_duration` of the service": "initialdelay initialdelayseconds startperiod",
    "a probe that fails takes the replica out until it passes again": "failurethreshold retries "
    "unhealthythreshold",
    "only HTTP is probed; without `probes` the port is": "test exec tcpsocket grpc command",
}
_GPU = {
    "use `name`": "type model product kind",
    "use `memory`": "vram ram mem memorysize",
    "use `count`": "number num quantity gpus",
}


def _by_key(advice: Mapping[str, str]) -> dict[str, str]:
    return {key: text for text, keys in advice.items() for key in keys.split()}


SERVICE = _by_key(_SERVICE)
RESOURCES = _by_key(_RESOURCES)
SCALING = _by_key(_SCALING)
PROBE = _by_key(_PROBE)
GPU = _by_key(_GPU)


def advice_for(key: str, known: Iterable[str], elsewhere: Mapping[str, str]) -> str:
    """Say what to write instead of a key that is not known: "" where there is nothing to say."""
    plain = plainly(key)
    if plain in elsewhere:
        return elsewhere[plain]
    own = {plainly(name): name for name in known}
    if plain in own:
        return f"did you mean {own[plain]}?"
    near = nearest(plain, [*own, *elsewhere])
    if near is None:
        return ""
    return f"did you mean {own[near]}?" if near in own else elsewhere[near]


def plainly(key: str) -> str:
    """Return a key without case, dashes and dots: `readinessProbe` is `readiness_probe`."""
    return "".join(letter for letter in key.lower() if letter.isalnum())


def nearest(key: str, known: Iterable[str]) -> str | None:
    """Return the one of `known` that a slip of the pen may have made `key` of."""
    slips = 1 if len(key) < 7 else 2
    near = [(distance(key, one), one) for one in known if abs(len(one) - len(key)) <= slips]
    best = min((pair for pair in near if len(key) > 2), default=None, key=lambda pair: pair[0])
    return best[1] if best and best[0] <= slips else None


def distance(one: str, other: str) -> int:
    """Count the letters that are lacking, too many, wrong or in the place of their neighbour."""
    before: list[int] = []
    last = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        row = [i]
        for j, b in enumerate(other, 1):
            row.append(min(last[j] + 1, row[-1] + 1, last[j - 1] + (a != b)))
            if i > 1 and j > 1 and a == other[j - 2] and b == one[i - 2]:
                row[-1] = min(row[-1], before[j - 2] + 1)
        before, last = last, row
    return last[-1]
