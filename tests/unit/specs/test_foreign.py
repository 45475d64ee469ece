"""Keys of other tools: what is said instead of a guess."""

from __future__ import annotations

import pytest

from apps.specs.errors import SpecError
from apps.specs.fields import foreign_keys
from apps.specs.fields.validation import keys_of
from apps.specs.parse import parse, read_profile
from apps.specs.sections.service import ServiceKeys
from tests.unit.specs.tables import service


def said(text: str) -> str:
    with pytest.raises(SpecError) as refused:
        parse(service(text))
    return refused.value.problems[0].message


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("dockerfile: Dockerfile", "build an image, push it to a registry and name it with"),
        ("Dockerfile: .", "nothing is built here"),
        ("build: {context: .}", "nothing is built here"),
        ("ports: [80:80]", "a service has one port, the one on which it listens: `port: 8000`"),
        ("containerPort: 80", "a service has one port"),
        ("expose: [80]", "a service has one port"),
        ("environment: {A: 1}", "use `env`"),
        ("enviroment: {A: 1}", "use `env`"),
        ("env_file: .env", "`-e NAME=VALUE`"),
        ("command: a", "use `commands`, a list"),
        ("cmd: [a]", "use `commands`, a list"),
        ("args: [a]", "put arguments into `commands`"),
        ("init: true", "before the others in `commands`"),
        ("ide: vscode", "it belongs to `type: dev-environment`"),
        ("nodes: 2", "a service runs each replica on one machine"),
        ("autoscaling: {min: 1}", "use `replicas`, a number or a range"),
        ("min_replicas: 1", "use `replicas`, a number or a range"),
        ("maxReplicas: 1", "use `replicas`, a number or a range"),
        ("healthcheck: {test: a}", "use `probes`"),
        ("livenessProbe: {}", "use `probes`"),
        ("readiness_probe: /", "use `probes`"),
        ("volumeMounts: []", "nothing that a replica writes outlives it"),
        ("mounts: []", "nothing that a replica writes outlives it"),
        ("depends_on: [db]", "each service has an address of its own"),
        ("restart: always", "use `retry`"),
        ("restartPolicy: Always", "use `retry`"),
        ("cap_add: [NET_ADMIN]", "`privileged: true`"),
        ("secrets: [a]", "${{ secrets.NAME }}"),
        ("labels: {a: b}", "use `tags`"),
        ("workdir: /app", "use `working_dir`"),
        ("imagePullPolicy: Always", "name the tag or digest"),
        ("terminationGracePeriodSeconds: 3", "use `stop_duration`"),
        ("services: {web: {image: a}}", "a file holds one service"),
        ("apiVersion: v1", "a file holds one service"),
        ("version: '3'", "remove it"),
        ("accelerators: L4:1", "use `resources.gpu`"),
        ("path_prefix: /a", "see `strip_prefix`"),
        ("inactivity_duration: 2h", "goes to sleep"),
        ("resources: {cpus: 2}", "use `cpu`"),
        ("resources: {limits: {cpu: 1}}", "write the amount itself"),
        ("resources: {gpu: {vram: 24GB}}", "use `memory`"),
        ("replicas: 0..1\nscaling: {metric: rps, target: 1, min: 0}", "beside `scaling`"),
        ("probes: [{path: /health}]", "use `url`"),
        ("probes: [{initialDelaySeconds: 3}]", "use `start_duration` of the service"),
        ("docker: true", "use an image that holds Docker"),
        ("setup: [a]", "put these lines before the others in commands"),
        ("home_dir: /a", "use working_dir"),
        ("fleets: [a]", "use backends, regions or instance_types"),
        ("volumes: ['a:/b']", "keep data in a database or an object store"),
    ],
)
def test_says_what_to_do_instead(key: str, says: str) -> None:
    message = said(key)

    assert says in message
    assert "did you mean" not in message


@pytest.mark.parametrize("key", sorted(foreign_keys.SERVICE))
def test_has_a_sentence_for_no_key_of_its_own(key: str) -> None:
    assert key not in {foreign_keys.plainly(own) for own in keys_of(ServiceKeys)}
    assert foreign_keys.plainly(key) == key


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"commands": ["a"]}, "it belongs into the service's file"),
        ({"image": "a"}, "it belongs into the service's file"),
        ({"ports": [1]}, "a service has one port"),
        ({"max_durtion": "2h"}, "did you mean max_duration?"),
    ],
)
def test_says_it_of_a_profile_too(keys: dict[str, object], says: str) -> None:
    with pytest.raises(SpecError) as refused:
        read_profile(keys)

    assert says in refused.value.problems[0].message


@pytest.mark.parametrize(
    ("one", "other", "slips"),
    [
        ("port", "port", 0),
        ("prot", "port", 1),
        ("por", "port", 1),
        ("portt", "port", 1),
        ("pork", "port", 1),
        ("ports", "part", 2),
        ("docker", "dockerfile", 4),
        ("", "abc", 3),
        ("abc", "", 3),
    ],
)
def test_counts_slips_of_the_pen(one: str, other: str, slips: int) -> None:
    assert foreign_keys.distance(one, other) == slips
