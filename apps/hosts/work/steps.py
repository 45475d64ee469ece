"""A host from its first contact to its removal, one step at a time. Calls hosts, so it is for
workers of the queue `outside`; each call is bounded in time, and may be made twice."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone

from apps.backends import nvidia, way_home
from apps.core import sweep
from apps.core.sweep import one_by_one
from apps.core.transition import Stale, transition
from apps.gateways import queries as gateways
from apps.hosts import keys, states
from apps.hosts.models import Host
from apps.hosts.ssh import client, words
from apps.hosts.work import findings, machines, reaching, removal, scripts, ways
from apps.hosts.work.findings import Step
from apps.instances import states as instance_states

LEASE = timedelta(minutes=5)
CHECK_SECONDS, INSTALL_SECONDS = 120.0, 180.0
LOOK, SELDOM = timedelta(seconds=5), timedelta(minutes=5)


def advance(*, ids: Sequence[UUID], at: datetime) -> None:
    """Take each host one step on."""
    rows = Host.objects.select_related("project", "instance")
    one_by_one(sweep.claim(rows, ids, at=at, lease=LEASE), _advance)


def _advance(host: Host) -> None:
    does = {
        states.CHECKING: _check,
        states.INSTALLING: _install,
        states.STARTING: _start,
        states.ACTIVE: _look,
        states.REMOVING: removal.remove,
    }
    try:
        if host.state in does:
            does[host.state](host)
        else:
            sweep.set_next_check(host, at=None)
    except Stale:
        return


def _check(host: Host) -> None:
    try:
        asked = _asked(host)
        ran = reaching.run(host, client.PLAIN, scripts.check(asked), seconds=CHECK_SECONDS)
    except way_home.NoWayHome as error:
        _fail(host, [Step("This server", findings.FAILED, str(error))])
        return
    except client.SshError as error:
        reaching.note_offer(host, error)
        _fail(host, [Step("Connection", findings.FAILED, str(error))])
        return
    mark = words.fingerprint(ran.known_hosts, client.HOST)
    # At once: what was seen first is what holds, whatever comes of the rest.
    pins = {"known_hosts": ran.known_hosts, "fingerprint": mark}
    Host.objects.filter(pk=host.pk).update(**pins)
    facts = findings.read(ran.output)
    steps = [Step("Connection", findings.OK, f"{host.at} lets us in; its host key is {mark}.")]
    steps += findings.steps(facts, user=host.user, now=timezone.now().timestamp())
    try:
        machines.require_ours(host, str(facts.get("installed_for") or ""))
    except machines.OfAnother as error:
        steps.append(Step("Agent", findings.FAILED, str(error)))
    if any(step.state == findings.FAILED for step in steps):
        _fail(host, steps)
        return
    now = timezone.now()
    fields: dict[str, Any] = {"facts": facts, "progress": _json(steps), "next_check_at": now}
    transition(host, states.INSTALLING, at=now, reason="all that it needs is there", **fields)


def _asked(host: Host) -> dict[str, Any]:
    """Return what the host is to try to reach, and how its GPUs are asked. Raise NoWayHome."""
    way = ways.of(host)
    published = [each.gateway for each in gateways.gateways_of(host.project)]
    places = [[each.tunnel_host, each.tunnel_port] for each in published if each.tunnel_port]
    if way.kind == way_home.GATEWAY and [way.host, way.ssh_port] not in places:
        places.append([way.host, way.ssh_port])
    far = [place for place in places if not way_home.is_near_host(str(place[0]))]
    fields = range(len(nvidia.FIELDS), nvidia.FEWEST_FIELDS - 1, -1)
    return {
        "url": way.url if way.kind == way_home.DIRECT else "",
        "authority": way.authority,
        "gateways": far,
        "gpu_arguments": [nvidia.arguments(count) for count in fields],
    }


def _install(host: Host) -> None:
    at = timezone.now()
    instance, enrolment = machines.wanted(host, str(host.fact("installed_for") or ""), at=at)
    done = [Step(**each) for each in host.progress]
    try:
        way = ways.of(host)
    except way_home.NoWayHome as error:
        _fail(host, [*done, Step("This server", findings.FAILED, str(error))])
        return
    called = {"url": way.url, "authority": way.authority}
    asked = {**called, "enrolment": enrolment, "machine": {"lent": True}}
    wanted = scripts.Installation(
        python=host.facts["python"],
        systemd=bool(host.fact("systemd")),
        instance_id=str(instance.pk),
        called=called,
        way=ways.files(instance, way),
        enrolment=asked if enrolment else None,
        let_in=scripts.let_in(
            user=host.user, public_key="" if host.key else keys.of_project(host.project).public
        ),
    )
    script = scripts.install(wanted)
    try:
        ran = reaching.run(host, reaching.as_root(host), script, seconds=INSTALL_SECONDS)
    except client.SshError as error:
        reaching.note_offer(host, error)
        _fail(host, [*done, Step("Agent", findings.FAILED, str(error))])
        return
    starts = findings.read(ran.output).get("started")
    if ran.code or not starts:
        said = findings.last_line(ran.errors)
        _fail(host, [*done, Step("Agent", findings.FAILED, f"It cannot be installed: {said}.")])
        return
    now = timezone.now()
    done.append(_installed(str(starts)))
    fields: dict[str, Any] = {"progress": _json(done), "next_check_at": now}
    transition(host, states.STARTING, at=now, reason="its agent is installed", **fields)


def _installed(starts: str) -> Step:
    said = {
        "systemd": "Installed as the systemd service dstack-agent.",
        "cron": "Installed; no systemd runs, so cron starts it after a restart of the host.",
    }
    alone = (
        "Installed, but neither systemd nor cron is there: after a restart of the host run "
        "`sh /opt/dstack-agent/supervise.sh &` as root."
    )
    return Step(
        "Agent", findings.OK if starts in said else findings.WARNED, said.get(starts, alone)
    )


def _start(host: Host) -> None:
    now, instance = timezone.now(), host.instance
    done = [Step(**each) for each in host.progress]
    if instance is None or instance.is_final or instance.state == instance_states.TERMINATING:
        said = (instance.error if instance else "") or "It never reported."
        _fail(host, [*done, Step("Report", findings.FAILED, said)])
    elif instance.state == instance_states.READY:
        done.append(Step("Report", findings.OK, "Its agent reports: services can run there."))
        fields: dict[str, Any] = {"progress": _json(done), "error": "", "next_check_at": now}
        transition(host, states.ACTIVE, at=now, reason="its agent reported", **fields)
        machines.publish(host.project)
    else:
        sweep.set_next_check(host, at=now + LOOK)


def _look(host: Host) -> None:
    machines.note_hardware(host)
    machines.publish(host.project)
    if host.instance is None or host.instance.is_final:
        _fail(host, [Step("Report", findings.FAILED, "Its instance has ended: add it again.")])
        return
    sweep.set_next_check(host, at=timezone.now() + SELDOM)


def _fail(host: Host, steps: list[Step]) -> None:
    failed = [step.text for step in steps if step.state == findings.FAILED]
    now, said = timezone.now(), " ".join(failed)[:2000]
    fields: dict[str, Any] = {"progress": _json(steps), "error": said, "next_check_at": None}
    transition(host, states.FAILED, at=now, reason=said[:300], **fields)


def _json(steps: Sequence[Step]) -> list[dict[str, str]]:
    return [step.as_json() for step in steps]
