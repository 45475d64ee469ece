"""Through which gateway a machine calls a server that nobody can call, and its key until it has one
of its own."""

from __future__ import annotations

from apps.backends import way_home
from apps.backends.way_home import Relay
from apps.core import crypto, notifications
from apps.core.after_commit import after_commit
from apps.instances.boot import keys
from apps.instances.boot.keys import Pair
from apps.instances.models import Instance


def of(instance: Instance) -> Relay | None:
    """Return its gateway, which stays the same; None where it needs or finds none."""
    if way_home.direct():
        return None
    if instance.home_id is None and (found := _choose(instance)):
        Instance.objects.filter(pk=instance.pk).update(home=found)
        instance.home_id = found
        after_commit(notifications.transitioned, "tunnel", "changed", [])
    return instance.home


def any_usable(project_id: int) -> Relay | None:
    """Return a gateway that a machine of the project without one would take, None where there is
    none."""
    found: Relay | None = way_home.relays(project_id).order_by("pk").first()
    return found


def _choose(instance: Instance) -> int | None:
    """Take the gateway of its service, else any that its project may take."""
    usable = way_home.relays(instance.project_id)
    own = usable.filter(tunnels__instance=instance, tunnels__freed_at=None)
    ids = own.values_list("pk", flat=True).order_by("pk")
    return ids.first() or usable.values_list("pk", flat=True).order_by("pk").first()


def boot_key(instance: Instance) -> Pair:
    """Return the key that it boots with. It follows from its enrolment, is good for as long as that
    one, and lets it call this server and nothing else."""
    return keys.of_secret(crypto.decrypt(instance.token), purpose="dstack way home")
