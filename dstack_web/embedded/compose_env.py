"""Writes the `.env` of compose.yaml: fresh secrets, mode 0600, never over an existing file."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path

from apps.core.ids import new_token
from apps.core.stores import atomic_write
from dstack_web.embedded.home import new_secrets


def main() -> None:
    path = Path(sys.argv[1])
    if path.exists():
        sys.exit(f"{path} exists; remove it to make new secrets (what they protect is lost then)")
    made = new_secrets()
    values = {
        "POSTGRES_PASSWORD": secrets.token_hex(24),
        "VALKEY_PASSWORD": secrets.token_hex(24),
        "DSTACK_SECRET_KEY": made["secret_key"],
        "DSTACK_ENCRYPTION_KEYS": made["encryption_keys"],
        "DSTACK_GATEWAY_TOKEN": made["gateway_token"],
        "DSTACK_METRICS_TOKEN": made["metrics_token"],
        "DSTACK_ADMIN_PASSWORD": secrets.token_urlsafe(12),
        "DSTACK_ADMIN_TOKEN": new_token("u"),
    }
    atomic_write.write_text(path, "".join(f"{name}={value}\n" for name, value in values.items()))


if __name__ == "__main__":
    main()
