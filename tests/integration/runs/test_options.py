"""Every option of where, how long and how dear: from the file, a profile, a flag of the command and
the Deploy form it reaches the run's spec, and no key that is read but does not act is let through.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.cli.publish.publish import PublishOptions
from apps.runs import services
from apps.runs.models import Run
from apps.runs.planning.request import PlanRequest
from apps.specs.fields.unsupported import NOT_YET
from apps.specs.fields.validation import keys_of
from apps.specs.resolve.overrides import FLAGS
from apps.specs.sections.policy import Policy
from tests.fakes.cloud import World

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_url")]

YAML = "type: service\nname: hello\nimage: web\nport: 8000\n"
RETRY = {"on_events": ["no-capacity", "interruption"], "duration_seconds": 14400}
EVENTS = ["no-capacity", "interruption", "error"]

# key, as it is written, the field of the spec and what it holds then
OPTIONS: list[tuple[str, Any, str, Any]] = [
    ("backends", ["cloud"], "backends", ["cloud"]),
    ("regions", ["north"], "regions", ["north"]),
    ("availability_zones", ["north1a"], "availability_zones", ["north1a"]),
    ("instance_types", ["big"], "instance_types", ["big"]),
    ("spot_policy", "auto", "spot_policy", "auto"),
    ("max_price", 1.5, "max_price", 1.5),
    ("max_duration", "3h", "max_duration_seconds", 10800),
    ("stop_duration", "30s", "stop_duration_seconds", 30),
    ("start_duration", "30m", "start_duration_seconds", 1800),
    ("idle_duration", "7m", "idle_duration_seconds", 420),
    ("creation_policy", "reuse", "creation_policy", "reuse"),
    ("tags", {"team": "web"}, "tags", {"team": "web"}),
    ("retry", {"on_events": RETRY["on_events"], "duration": "4h"}, "retry", RETRY),
    (
        "utilization_policy",
        {"min_gpu_utilization": 10, "time_window": "1h"},
        "utilization_policy",
        {"min_gpu_utilization": 10, "time_window_seconds": 3600},
    ),
    (
        "schedule",
        {"cron": "0 8 * * *", "stop": "0 18 * * *"},
        "schedule",
        {"cron": ["0 8 * * *"], "stop": ["0 18 * * *"], "timezone": "UTC"},
    ),
]
# Older forms, each tried where the newer one is.
OLDER = {"retry_policy", "termination_policy", "termination_idle_time"}

# flags of `dstack run`, the field and what it holds then
GIVEN: list[tuple[dict[str, Any], str, Any]] = [
    ({"backends": ["cloud"]}, "backends", ["cloud"]),
    ({"regions": ["north"]}, "regions", ["north"]),
    ({"zones": ["north1a"]}, "availability_zones", ["north1a"]),
    ({"instance_types": ["big"]}, "instance_types", ["big"]),
    ({"spot": True}, "spot_policy", "spot"),
    ({"on_demand": True}, "spot_policy", "on-demand"),
    ({"spot_auto": True}, "spot_policy", "auto"),
    ({"max_price": "1.5"}, "max_price", 1.5),
    ({"max_duration": "3h"}, "max_duration_seconds", 10800),
    ({"max_duration": "off"}, "max_duration_seconds", None),
    ({"idle_duration": "7m"}, "idle_duration_seconds", 420),
    ({"retry": True}, "retry", {"on_events": EVENTS, "duration_seconds": 3600}),
    ({"retry": False}, "retry", None),
    ({"retry_duration": "4h"}, "retry", {"on_events": EVENTS, "duration_seconds": 14400}),
]


@pytest.fixture(autouse=True)
def zones(world: World) -> None:
    world.spot, world.zones = ("north",), {"north": ("north1a",)}


def spec_of(owner: Access, project: Project, **request: Any) -> dict[str, Any]:
    asked = PlanRequest(**{"configuration": YAML, **request})
    services.submit(access=owner, project=project, request=asked)
    found: dict[str, Any] = Run.objects.get().spec
    return found


@pytest.mark.parametrize(("key", "written", "field", "held"), OPTIONS)
@pytest.mark.parametrize("way", ["file", "profile"])
def test_reaches_the_run(
    owner: Access, cloudy: Project, way: str, key: str, written: Any, field: str, held: Any
) -> None:
    if way == "file":
        # JSON is YAML.
        spec = spec_of(owner, cloudy, configuration=f"{YAML}{key}: {json.dumps(written)}\n")
    else:
        spec = spec_of(owner, cloudy, profile={key: written})

    assert spec[field] == held
    assert key in spec["written"]


@pytest.mark.parametrize(("key", "written", "field", "held"), OPTIONS)
def test_reaches_the_run_from_the_deploy_form(
    owner: Access, cloudy: Project, key: str, written: Any, field: str, held: Any
) -> None:
    client = Client()
    client.force_login(owner.user)
    text = f"{YAML}{key}: {json.dumps(written)}\n".replace("\n", "\r\n")
    sent = {"configuration": text, "action": "deploy", "do": "deploy"}

    client.post("/projects/cloudy/deploy/", sent)

    assert Run.objects.get().spec[field] == held


@pytest.mark.parametrize(("flags", "field", "held"), GIVEN, ids=str)
def test_a_flag_reaches_the_run_and_wins_over_file_and_profile(
    owner: Access, cloudy: Project, flags: dict[str, Any], field: str, held: Any
) -> None:
    text = YAML + "max_duration: 1h\nretry: true\n"
    overrides = PublishOptions(**flags).overrides()

    spec = spec_of(
        owner, cloudy, configuration=text, profile={"idle_duration": 1}, overrides=overrides
    )

    assert spec[field] == held


def test_every_option_is_tried_or_refused_by_name() -> None:
    tried = {key for key, *_ in OPTIONS}

    assert set(keys_of(Policy)) - OLDER == tried | (set(keys_of(Policy)) & set(NOT_YET))
    assert not tried & set(NOT_YET)
    given = {key for flags, *_ in GIVEN for key in PublishOptions(**flags).overrides()}
    assert given == set(FLAGS) & set(keys_of(Policy))
