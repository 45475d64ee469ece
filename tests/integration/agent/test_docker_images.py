"""Images of a real registry: which one runs, who may run it, and which are removed again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.agent import wire
from apps.agent.docker.engine import Engine
from tests.fakes.control_plane import ControlPlane
from tests.integration.agent import running
from tests.integration.agent.engines import IMAGE, make_image, running_engine
from tests.integration.agent.registries import PASSWORD, USER, Registry, running_registry
from tests.integration.agent.running import RunningAgent, eventually

LOGIN = {"registry_username": USER, "registry_password": PASSWORD}


@pytest.fixture(scope="module")
def engine_address() -> Iterator[str]:
    with running_engine() as address:
        yield address


@pytest.fixture
def engine(engine_address: str) -> Engine:
    return Engine(engine_address)


@pytest.fixture
def registry() -> Iterator[Registry]:
    with running_registry() as one:
        yield one


@pytest.fixture
def private() -> Iterator[Registry]:
    with running_registry(private=True) as one:
        yield one


@pytest.fixture
def agent(stopped_agent: RunningAgent, engine_address: str) -> Iterator[RunningAgent]:
    stopped_agent.env["DOCKER_HOST"] = engine_address
    stopped_agent.start()
    yield stopped_agent
    stopped_agent.clean_up()


def workload(image: str, **fields: Any) -> wire.WorkloadSpec:
    return running.workload(**{"executor": "docker", "image": image, **fields})


def said(control: ControlPlane, spec: wire.WorkloadSpec) -> list[str]:
    """What the workload's image prints, and the agent's remarks."""
    control.assign(spec)
    control.wait(
        lambda: control.seen(spec.id) and [x for x in control.lines(spec.id) if x[0] != "["]
    )
    return control.lines(spec.id)


def refused(control: ControlPlane, spec: wire.WorkloadSpec) -> str:
    control.assign(spec)
    report = control.wait_for(spec.id, state=wire.EXITED)
    assert report.reason == wire.REASON_PREPARE_FAILED
    return report.message


def pin_of(control: ControlPlane, workload_id: str) -> str:
    report = control.wait_for(workload_id, state=wire.RUNNING)
    return report.image_pin


@pytest.mark.parametrize("tag", [":latest", ":1", ""])
def test_who_deploys_gets_what_the_registry_has_now(
    control: ControlPlane, agent: RunningAgent, engine: Engine, registry: Registry, tag: str
) -> None:
    image = registry.push(engine, f"team/app{tag}", "one")
    assert said(control, workload(image, id="a")) == ["one"]

    registry.push(engine, f"team/app{tag}", "two")

    assert said(control, workload(image, id="b")) == ["two"]


def test_a_later_replica_gets_the_image_of_the_first(
    control: ControlPlane, agent: RunningAgent, engine: Engine, registry: Registry
) -> None:
    image = registry.push(engine, "team/app:1", "one")
    said(control, workload(image, id="a"))
    pin = pin_of(control, "a")
    assert pin.startswith(f"{registry.host}/team/app@sha256:")
    registry.push(engine, "team/app:1", "two")
    assert said(control, workload(image, id="b")) == ["two"]

    assert said(control, workload(image, id="c", image_pin=pin)) == ["one"]
    # Also where it is here no more.
    for each in "abc":
        control.ask_to_stop(each)
        control.wait_for(each, state=wire.EXITED)
    eventually(lambda: engine.call("GET", "/containers/json", query={"all": 1}) == [])
    engine.call("DELETE", f"/images/{pin}", query={"force": 1})
    assert said(control, workload(image, id="d", image_pin=pin)) == ["one"]


def test_says_that_the_image_of_the_first_cannot_be_had(
    control: ControlPlane, agent: RunningAgent, engine: Engine, registry: Registry
) -> None:
    image = registry.push(engine, "team/app:1", "one")
    gone = f"{registry.host}/team/app@sha256:{'0' * 64}"

    remark, text = said(control, workload(image, image_pin=gone))

    assert text == "one"
    assert "this replica may run another image than those before it" in remark


def test_a_digest_is_not_asked_for_again(
    control: ControlPlane, agent: RunningAgent, engine: Engine, registry: Registry
) -> None:
    image = registry.push(engine, "team/app:1", "one")
    said(control, workload(image, id="a"))
    pin = pin_of(control, "a")
    registry.stop()

    assert said(control, workload(pin, id="b")) == ["one"]


def test_runs_what_is_here_where_the_registry_is_away_and_says_so(
    control: ControlPlane, agent: RunningAgent, engine: Engine, registry: Registry
) -> None:
    image = registry.push(engine, "team/app:1", "one")
    said(control, workload(image, id="a"))
    registry.stop()

    remark, text = said(control, workload(image, id="b"))

    assert text == "one"
    assert f"the image {image} that is on this machine is run" in remark


@pytest.mark.parametrize("name", ["mine", "mine:2", "localhost/mine:2", "team/mine:2"])
def test_an_image_that_was_made_here_needs_no_registry(
    control: ControlPlane, agent: RunningAgent, engine_address: str, engine: Engine, name: str
) -> None:
    program = {"run-me": "#!/bin/sh\necho mine\nexec sleep 600\n"}
    make_image(engine_address, name, 'CMD ["/run-me"]', files=program)

    assert said(control, workload(name, id="a")) == ["mine"]
    pin = pin_of(control, "a")
    assert pin.startswith("sha256:")
    assert said(control, workload(name, id="b", image_pin=pin)) == ["mine"]


def test_a_private_image_is_run_by_whom_its_registry_gives_it_to(
    control: ControlPlane, agent: RunningAgent, engine: Engine, private: Registry
) -> None:
    image = private.push(engine, "team/secret:1", "one")

    none = refused(control, workload(image, id="a"))
    wrong = refused(control, workload(image, id="b", **{**LOGIN, "registry_password": "wrong"}))
    right = said(control, workload(image, id="c", **LOGIN))
    pin = pin_of(control, "c")

    assert "give `registry_auth`" in none
    assert "username or password refused" in wrong
    assert right == ["one"]
    # It is here now, which helps nobody who has no login.
    assert "give `registry_auth`" in refused(control, workload(image, id="d"))
    assert "`registry_auth`" in refused(control, workload(image, id="e", image_pin=pin))
    assert "`registry_auth`" in refused(control, workload(pin, id="f"))
    wrong_again = {**LOGIN, "registry_password": "wrong"}
    assert "refused" in refused(control, workload(image, id="g", image_pin=pin, **wrong_again))
    assert said(control, workload(image, id="h", image_pin=pin, **LOGIN)) == ["one"]


def test_a_private_image_needs_its_login_also_where_the_registry_is_away(
    control: ControlPlane, agent: RunningAgent, engine: Engine, private: Registry
) -> None:
    image = private.push(engine, "team/secret:1", "one")
    said(control, workload(image, id="a", **LOGIN))
    private.stop()

    assert "cannot be pulled" in refused(control, workload(image, id="b"))
    assert said(control, workload(image, id="c", **LOGIN))[-1] == "one"
    assert PASSWORD.encode() not in (agent.home / "images.json").read_bytes()


def tags(engine: Engine) -> set[str]:
    return {tag for image in engine.call("GET", "/images/json") for tag in image["RepoTags"] or []}


def test_removes_what_nobody_uses_where_the_disk_is_too_full(
    control: ControlPlane, stopped_agent: RunningAgent, engine: Engine, registry: Registry
) -> None:
    agent = stopped_agent
    agent.env |= {"DOCKER_HOST": engine.address, "DSTACK_IMAGES_DISK_PERCENT": "0"}
    agent.start()
    used = registry.push(engine, "team/used:1", "used")
    unused = registry.push(engine, "team/unused:1", "unused")
    said(control, workload(used, id="a"))
    said(control, workload(unused, id="b"))
    control.ask_to_stop("b")
    control.wait_for("b", state=wire.EXITED)

    # Room is made before each pull, and every minute.
    third = registry.push(engine, "team/third:1", "third")
    said(control, workload(third, id="c"))

    assert unused not in tags(engine)
    assert {used, third, IMAGE} <= tags(engine)  # that one was not pulled by the agent
    log = Path(agent.log).read_text()
    assert f"removed the image {unused}" in log
    assert "which nobody uses" in log


def test_removes_nothing_while_there_is_room(
    control: ControlPlane, stopped_agent: RunningAgent, engine: Engine, registry: Registry
) -> None:
    agent = stopped_agent
    agent.env |= {"DOCKER_HOST": engine.address, "DSTACK_IMAGES_DISK_PERCENT": "100"}
    agent.start()
    first = registry.push(engine, "team/first:1", "first")
    said(control, workload(first, id="a"))
    control.ask_to_stop("a")
    control.wait_for("a", state=wire.EXITED)

    said(control, workload(registry.push(engine, "team/second:1", "second"), id="b"))

    assert first in tags(engine)
