"""Which keys of a gateway's report may have called which project."""

from __future__ import annotations

from collections.abc import Iterable

from apps.accounts.models import Token


def known(keys: Iterable[str], projects: Iterable[int]) -> set[tuple[str, int]]:
    """Return pairs of a key and a project that its user may see: a gateway cannot speak for
    others."""
    ids = {int(key) for key in keys if key.isascii() and key.isdecimal()}
    found = Token.objects.filter(pk__in={pk for pk in ids if pk < 2**63})
    wanted = set(projects)
    members = found.filter(user__projects__in=wanted).values_list("pk", "user__projects")
    admins = found.filter(user__is_superuser=True).values_list("pk", flat=True)
    pairs = [*members, *((pk, project) for pk in admins for project in wanted)]
    return {(str(pk), project) for pk, project in pairs}
