"""Taking away from a host what is ours: agent, unit, folders, packet rules, the server's key."""

from __future__ import annotations

import json
from typing import Any

from django.utils import timezone

from apps.core.transition import transition
from apps.hosts import keys, states
from apps.hosts.models import Host
from apps.hosts.ssh import client
from apps.hosts.work import findings, machines, reaching, scripts
from apps.instances import states as instance_states
from apps.instances.models import Instance

REMOVE_SECONDS = 180.0
BY_HAND = "sudo python3 /opt/dstack-agent/uninstall.py"


def remove(host: Host) -> None:
    """Take it away; a host that is not reached is removed all the same, with what is left there."""
    left = _left(host)
    now = timezone.now()
    fields: dict[str, Any] = {"left_over": left, "key": "", "next_check_at": None}
    transition(host, states.REMOVED, at=now, reason=left[:300] or "nothing of it is left", **fields)
    machines.publish(host.project)


def _left(host: Host) -> str:
    """Return what is left there, "" where nothing is."""
    python = str(host.fact("python") or "")
    if not host.known_hosts or not findings.PYTHON_PATH.fullmatch(python):
        return ""  # it was never let in, or nothing could be installed
    script = scripts.uninstall(
        python=python,
        user=host.user,
        public_key=_key_to_forget(host),
        instances=_instances(host),
    )
    try:
        ran = reaching.run(host, reaching.as_root(host), script, seconds=REMOVE_SECONDS)
    except client.SshError as error:
        return (
            f"{error} Its agent, the folders /opt/dstack-agent, /etc/dstack-agent and "
            f"/var/lib/dstack are left there: run `{BY_HAND}` on it."
        )
    said = findings.read(ran.output).get("left")
    if said is None:
        why = (ran.errors.strip().splitlines() or ["nothing was said"])[-1][:200]
        return f"The removal failed ({why}): run `{BY_HAND}` on the host."
    paths = json.loads(said)
    return f"Left there: {', '.join(paths)}." if paths else ""


def _key_to_forget(host: Host) -> str:
    """The server's own key has no business there any more; a key that was given is the person's.
    Another host of the project may be the same machine by another address."""
    others = Host.objects.filter(project=host.project, user=host.user, fingerprint=host.fingerprint)
    same = others.exclude(pk=host.pk).exclude(state=states.REMOVED).exists()
    return "" if host.key or same else keys.of_project(host.project).public


def _instances(host: Host) -> list[str]:
    """Return the instances whose agent may be there: those of this host, also earlier ones."""
    over = Instance.objects.filter(project=host.project, backend_kind="ssh", name=host.name)
    ids = {
        str(pk)
        for pk in over.filter(state__in=instance_states.INSTANCE.final).values_list("pk", flat=True)
    }
    return sorted(ids | ({str(host.instance_id)} if host.instance_id else set()))
