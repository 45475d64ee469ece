"""What the workloads of one host share, and how each gets its upload."""

from __future__ import annotations

import contextlib
import typing
from pathlib import Path

from apps.agent import wire
from apps.agent.caches.keeper import Caches
from apps.agent.host import ports
from apps.agent.host.home import Home
from apps.agent.host.interpreters import Interpreters
from apps.agent.isolation.network import Network
from apps.agent.workloads import unpack
from apps.agent.workloads.executor import Check, PrepareFailed, Say


class Host(typing.NamedTuple):
    """`fetch(hash, file, check)` downloads an upload; it raises PrepareFailed.

    `network` gives process replicas networks of their own, None where they share the host's.
    """

    home: Home
    ports: ports.Ports
    interpreters: Interpreters
    fetch: typing.Callable[[str, Path, Check], None]
    max_output_bytes: int
    caches: Caches
    network: typing.Optional[Network] = None


def unpack_upload(
    host: Host, spec: wire.WorkloadSpec, folder: Path, *, say: Say, check: Check
) -> None:
    """Get the workload's upload, if it has one, into the empty folder.

    Raise PrepareFailed and what `check` raises.
    """
    if spec.upload_hash is None:
        return
    say("fetching files")
    archive = folder.with_name("upload.tar.gz")
    try:
        host.fetch(spec.upload_hash, archive, check)
        say("unpacking files")
        unpack.unpack(
            archive=archive,
            folder=folder,
            limit_bytes=spec.upload_limit_bytes,
            check=check,
            times=spec.upload_times,
        )
    except unpack.Refused as error:
        raise PrepareFailed(str(error)) from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            archive.unlink()
