"""Every kind of backend, one line each: no field's choices, so a new kind needs no migration."""

from __future__ import annotations

from apps.backends.base import Backend
from apps.backends.providers.local.backend import LocalBackend

PROVIDERS: dict[str, type[Backend]] = {
    LocalBackend.kind: LocalBackend,
}
