"""The door through which gateways' and agents' requests come in: HAProxy's configuration."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

FILE, SOCKET = "door.cfg", "door.sock"
TEMPLATE = (Path(__file__).parent / FILE).read_text()


def write(folder: Path, *, server: str) -> None:
    """Write what HAProxy reads from `folder`; `server` is the URL of the web server."""
    (folder / FILE).write_text(render(server))


def render(server: str) -> str:
    url = urlsplit(server)
    host, port = url.hostname or "127.0.0.1", url.port or (443 if url.scheme == "https" else 80)
    address = f"ipv6@{host}:{port}" if ":" in host else f"{host}:{port}"
    texts = {
        "@SERVER@": address,
        "@HOST@": url.netloc.rpartition("@")[2],
        "@TLS@": " ssl verify required ca-file @system-ca" if url.scheme == "https" else "",
    }
    text = TEMPLATE
    for mark, value in texts.items():
        text = text.replace(mark, value)
    return text
