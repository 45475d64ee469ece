"""Uploads: packed working folders, stored once per project and content."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable
from typing import IO

from django.conf import settings
from django.core.files import File
from django.core.files.storage import default_storage
from django.db import IntegrityError, transaction

from apps.accounts.models import Project
from apps.core.errors import Invalid, NotFound, TooLarge
from apps.runs.models import Upload

CHUNK = 256 * 1024
GZIP = b"\x1f\x8b"


def save(*, project: Project, chunks: Iterable[bytes]) -> Upload:
    """This function will store an archive (tar.gz) under the hash of its content.

    The hash is computed here, never taken from the sender. Raises TooLarge and Invalid.
    """
    limit_mb = settings.DSTACK_UPLOAD_LIMIT_MB
    with tempfile.TemporaryFile() as file:
        digest, size = hashlib.sha256(), 0
        for chunk in chunks:
            size += len(chunk)
            if size > limit_mb * 2**20:
                raise TooLarge(f"The upload is larger than {limit_mb} MB.")
            digest.update(chunk)
            file.write(chunk)
        file.seek(0)
        if file.read(2) != GZIP:
            raise Invalid("The upload is not a tar.gz archive.")
        return _store(project, digest.hexdigest(), size, file)


def _store(project: Project, digest: str, size: int, file: IO[bytes]) -> Upload:
    known = Upload.objects.filter(project=project, hash=digest).first()
    if known is not None and default_storage.exists(known.blob):
        return known
    file.seek(0)
    blob = default_storage.save(f"uploads/{project.pk}/{digest}", File(file))
    try:
        with transaction.atomic():
            row, _ = Upload.objects.update_or_create(
                project=project, hash=digest, defaults={"size_bytes": size, "blob": blob}
            )
    except IntegrityError:
        row = Upload.objects.get(project=project, hash=digest)
    return row


def find(*, project: Project, digest: str) -> Upload:
    """This function will return a project's upload. Raises NotFound."""
    upload = Upload.objects.filter(project=project, hash=digest).first()
    if upload is None:
        raise NotFound(f"There is no upload {digest[:12]} in this project.")
    return upload
