"""A file as a whole: all problems at once, keys that do not act yet, what the person wrote."""

from __future__ import annotations

import pytest

from apps.specs.errors import MOST_PROBLEMS, SpecError
from apps.specs.fields.unsupported import NOT_YET
from apps.specs.parse import parse, parse_replicas
from apps.specs.sections.service import ServiceKeys, ServiceSpec
from tests.unit.specs.tables import service

_WRONG = """\
type: service
imag: nginx
port: 65536
replicas: 4..1
env:
  - A=1
  - A=2
commands: echo
volumes: ['x:/d']
name: ab
name: cd
resources: {gpu: 'A100:'}
"""

# A value for each key of the table that would act if the key did.
_SAMPLES = {
    "files": "[a]",
    "repos": "[a]",
    "single_branch": "true",
    "groups": "[{commands: [a]}]",
    "rate_limits": "[{rps: 1}]",
    "utilization_policy": "{min_gpu_utilization: 1, time_window: 5m}",
    "priority": "1",
    "docker": "true",
    "nvcc": "true",
    "dstack": "true",
    "fleets": "[a]",
    "instances": "[a]",
    "reservation": "a",
    "availability_zones": "[a]",
    "backend_options": "[{type: vastai}]",
    "startup_order": "any",
    "stop_criteria": "all-done",
    "setup": "[a]",
    "home_dir": "/a",
    "pool_name": "a",
    "instance_name": "a",
}


def _service_with(key: str) -> str:
    text = service(f"{key}: {_SAMPLES[key]}")
    return text.replace("commands: [echo]\n", "") if key == "groups" else text


def test_reports_all_problems_in_file_order() -> None:
    with pytest.raises(SpecError) as refused:
        parse(_WRONG)

    assert [(p.line, p.path) for p in refused.value.problems] == [
        (2, "imag"),
        (3, "port"),
        (4, "replicas"),
        (7, "env[1]"),
        (8, "commands"),
        (9, "volumes[0]"),
        (11, "name"),
        (12, "resources.gpu"),
    ]


def test_writes_a_problem_as_one_sentence_with_its_place() -> None:
    with pytest.raises(SpecError) as refused:
        parse(service("port: 0"))

    assert str(refused.value) == (
        "line 1, column 7: port: expected a port from 1 to 65535, found the number 0"
    )


def test_stops_counting_at_a_thousand_problems() -> None:
    with pytest.raises(SpecError) as refused:
        parse(service("env: [" + "1, " * 1500 + "1]"))

    assert len(refused.value.problems) == MOST_PROBLEMS + 1
    assert refused.value.problems[-1].message == "and 501 more problems"


@pytest.mark.parametrize("key", NOT_YET)
def test_refuses_a_key_that_does_not_act_yet_at_the_key(key: str) -> None:
    with pytest.raises(SpecError) as refused:
        parse(_service_with(key))

    problem = refused.value.problems[0]
    assert problem.message.startswith(f"not supported yet: {key}")
    assert (problem.path, problem.line, problem.column) == (key, 1, 1)


@pytest.mark.parametrize("key", NOT_YET)
def test_reads_a_key_in_full_before_it_acts(key: str) -> None:
    assert parse(_service_with(key), not_yet={}).wrote(key)


def test_refuses_replica_groups_under_replicas() -> None:
    with pytest.raises(SpecError, match="not supported yet: groups"):
        parse("type: service\nport: 1\nreplicas: [{commands: [a]}]")


@pytest.mark.parametrize("keys", ["volumes: []", "nvcc: false", "priority: 0", "setup: []"])
def test_lets_a_key_pass_that_asks_for_nothing(keys: str) -> None:
    assert parse(service(keys)).port.container_port == 8000


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("comands", "commands"),
        ("Port", "port"),
        ("prot", "port"),
        ("imge", "image"),
        ("evn", "env"),
        ("nmae", "name"),
        ("replica", "replicas"),
        ("maxDuration", "max_duration"),
        ("max-price", "max_price"),
        ("gpu", "resources.gpu"),
        ("memory", "resources.memory"),
        ("target", "scaling.target"),
        ("max_durations", "max_duration"),
        ("workng_dir", "working_dir"),
        ("chat_template", "model.chat_template"),
    ],
)
def test_guesses_the_key_that_was_meant(key: str, meant: str) -> None:
    with pytest.raises(SpecError) as refused:
        parse(service(f"{key}: 1"))

    assert refused.value.problems[0].message.endswith(f"did you mean {meant}?")


@pytest.mark.parametrize(
    "key",
    ["xy", "X-y", "usage", "pot-roast", "y", "écrit", "a" * 900, "'; --", "portable", "naming"],
)
def test_says_so_when_a_key_resembles_none(key: str) -> None:
    with pytest.raises(SpecError) as refused:
        parse(service(f'"{key}": 1'))

    assert refused.value.problems[0].message.endswith("there is no such key")
    assert len(refused.value.problems[0].message) < 200


@pytest.mark.parametrize(
    "name", ["written", "memory_mib", "max_duration_seconds", "idle_duration_seconds"]
)
def test_keeps_the_names_of_meanings_out_of_files(name: str) -> None:
    with pytest.raises(SpecError, match="unknown key"):
        parse(service(f"{name}: 1"))


def test_knows_which_keys_a_person_wrote() -> None:
    spec = parse(service("resources: {gpu: 1, cpu: null}\nretry_policy: {retry: true}\nenv:"))

    assert spec.wrote("resources.gpu")
    assert spec.wrote("retry")
    assert not spec.wrote("resources.cpu")
    assert not spec.wrote("env")


def test_loads_a_spec_that_an_older_version_stored() -> None:
    stored = parse(service("")).to_json()
    del stored["hold"]

    assert ServiceSpec.from_json(stored) == parse(service(""))


def test_loads_a_spec_that_a_newer_version_stored() -> None:
    stored = {**parse(service("")).to_json(), "of_the_future": {"a": 1}}

    assert ServiceSpec.from_json(stored) == parse(service(""))


@pytest.mark.parametrize("stored", [{}, {"port": 3}, {"type": "service", "port": {"a": 1}}])
def test_refuses_to_load_what_is_no_spec(stored: dict[str, object]) -> None:
    with pytest.raises(SpecError):
        ServiceSpec.from_json(stored)


def test_reads_the_replicas_of_the_scale_command() -> None:
    assert parse_replicas("0..4").max == 4
    assert parse_replicas(3).min == 3


@pytest.mark.parametrize("value", ["4..1", "1..", "..", "-1", "x", "", "1;2"])
def test_refuses_replicas_that_make_no_sense(value: str) -> None:
    with pytest.raises(SpecError) as refused:
        parse_replicas(value)

    assert refused.value.problems[0].path == "replicas"


def test_has_a_description_for_every_key_that_acts() -> None:
    older = {"retry_policy", "termination_policy", "termination_idle_time"}
    fields = {field.alias or name: field for name, field in ServiceKeys.model_fields.items()}

    silent = {key for key, field in fields.items() if key not in NOT_YET and not field.description}

    assert silent == older
