"""Lets every other `manage.py` command speak to the embedded server of this home."""

from __future__ import annotations

import os
from collections.abc import MutableMapping

from dstack_web.embedded import sockets
from dstack_web.embedded.home import Home
from dstack_web.embedded.servers.postgres import Postgres
from dstack_web.embedded.servers.valkey import Valkey


def attach(environ: MutableMapping[str, str]) -> None:
    """Set what Django's settings need, as `manage.py up` does for its children.

    Nothing is set over a variable that exists, nor where this user has no server. Raises
    StartFailed when the home's secrets cannot be understood.
    """
    home = Home.from_environment(environ)
    secrets_file = home.server / "secrets.json"
    if not os.access(secrets_file, os.R_OK):
        return
    secrets = home.secrets(environ)
    folder = sockets.folder_for(home.folder("run"))
    found = {
        "DATABASE_URL": Postgres(data=home.folder("pg"), sockets=folder).url(),
        "REDIS_URL": Valkey(folder=home.folder("valkey"), sockets=folder).url(),
        "DSTACK_SECRET_KEY": secrets.secret_key,
        "DSTACK_ENCRYPTION_KEYS": ",".join(secrets.encryption_keys),
    }
    for name, value in found.items():
        environ.setdefault(name, value)
