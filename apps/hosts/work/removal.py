"""Taking away from a host what is ours: agent, unit, folders, packet rules, the server's key."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from apps.core.transition import transition
from apps.hosts import keys, states
from apps.hosts.models import Host
from apps.hosts.ssh import client
from apps.hosts.work import findings, machines, reaching, scripts
from apps.instances import states as instance_states
from apps.instances.boot import former
from apps.instances.models import Instance

REMOVE_SECONDS = 180.0
BY_HAND = "sudo python3 /opt/dstack-agent/uninstall.py"


def remove(host: Host) -> None:
    """Take it away; a host that is not reached is removed all the same, with what is left there."""
    left = _left(host)
    now = timezone.now()
    if left:
        for instance in _instances(host):
            former.note(instance, at=now)
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
        instances=[str(each.pk) for each in _instances(host)],
    )
    try:
        ran = reaching.run(host, reaching.as_root(host), script, seconds=REMOVE_SECONDS)
    except client.SshError as error:
        return (
            f"{error} So its agent is still there, with what it runs: when it calls this server "
            f"next it is told to end that and to take itself off. By hand: `{BY_HAND}`."
        )
    paths = findings.left(ran.output)
    if paths is None:
        why = findings.last_line(ran.errors)
        return f"The removal failed ({why}): run `{BY_HAND}` on the host."
    return f"Left there: {', '.join(paths)}." if paths else ""


def _key_to_forget(host: Host) -> str:
    """The server's own key has no business there any more; a key that was given is the person's.
    Another host of the project may be the same machine by another address."""
    others = Host.objects.filter(project=host.project, user=host.user, fingerprint=host.fingerprint)
    same = others.exclude(pk=host.pk).exclude(state=states.REMOVED).exists()
    return "" if host.key or same else keys.of_project(host.project).public


def _instances(host: Host) -> list[Instance]:
    """Return the instances whose agent may be there: those of this host, also earlier ones."""
    named = Instance.objects.filter(project=host.project, backend_kind="ssh", name=host.name)
    over = list(named.filter(state__in=instance_states.INSTANCE.final).order_by("pk"))
    known = {each.pk for each in over}
    return over + ([host.instance] if host.instance and host.instance_id not in known else [])
