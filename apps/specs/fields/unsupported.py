"""Keys that are read but do not act yet. Each is refused by name; the table shrinks as they come.

Kept out of the table, though they change nothing where only this machine is connected:
`creation_policy` and `idle_duration`, which are about machines that a cloud makes.
"""

from __future__ import annotations

from collections.abc import Mapping

_NO_POOLS = "there are no pools; use idle_duration"
_CHOICE = "use backends, regions or instance_types"
_ONE_NODE = "a replica is one machine"

# key -> what to do instead, empty where there is nothing to say
NOT_YET: Mapping[str, str] = {
    "files": "the uploaded folder is there already",
    "repos": "the uploaded folder is there already",
    "single_branch": "the uploaded folder is there already",
    "groups": "give one number or range of replicas",
    "priority": "",
    "docker": "use an image that holds Docker, with `privileged: true`",
    "nvcc": "use an image that holds nvcc",
    "dstack": "",
    "fleets": _CHOICE,
    "instances": _CHOICE,
    "reservation": "",
    "backend_options": "AWS has none: regions, availability_zones, spot_policy and tags say it",
    "startup_order": _ONE_NODE,
    "stop_criteria": _ONE_NODE,
    "setup": "put these lines before the others in commands",
    "home_dir": "use working_dir",
    "pool_name": _NO_POOLS,
    "instance_name": _NO_POOLS,
}


NAMED_VOLUMES = (
    "not supported yet: network volumes by name (give a folder of the machine, such as "
    "/mnt/cache:/cache, or keep data in a database or an object store)"
)


def refusal(key: str, advice: str) -> str:
    """Say that a key does not act yet."""
    return f"not supported yet: {key}" + (f" ({advice})" if advice else "")
