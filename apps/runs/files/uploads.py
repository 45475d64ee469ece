"""Uploads: packed working folders, stored once per project and content."""

from __future__ import annotations

import hashlib
import json
import secrets
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import IO

from django.conf import settings
from django.core.files import File
from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from apps.accounts.models import Project
from apps.core.archive import contents
from apps.core.errors import Invalid, NotFound, TooLarge
from apps.runs.files import file_times, stored
from apps.runs.models import RunVersion, Upload, UploadFiles

CHUNK = 256 * 1024
TIMES_LIMIT = 4
# So much of what was served before is looked at: versions, and files in all of them.
LOOKED_AT_VERSIONS, LOOKED_AT_FILES = 50, 300_000


def save(*, project: Project, chunks: Iterable[bytes]) -> Upload:
    """Store an archive (tar.gz) under the hash of what it holds.

    The hash is computed here, never taken from the sender. Raise Invalid, TooLarge, and OverQuota
    when the project has no room for it.
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
        held = _held(file, limit_mb)
        upload = Upload(
            project=project,
            hash=contents.hash_of(held),
            archive_hash=digest.hexdigest(),
            size_bytes=size,
        )
        return _store(upload, file, _packed_files(held))


def _held(file: IO[bytes], limit_mb: int) -> contents.Entries:
    file.seek(0)
    try:
        held = contents.read(file, most_bytes=TIMES_LIMIT * limit_mb * 2**20)
        contents.hash_of(held)
    except contents.Unsound as error:
        raise Invalid(f"The upload cannot be used: {error}.") from error
    except contents.TooMuch as error:
        raise TooLarge(
            f"Unpacked, the upload is larger than {TIMES_LIMIT * limit_mb} MB, or has more than "
            f"{contents.MOST_ENTRIES:,} files."
        ) from error
    return held


def _store(new: Upload, file: IO[bytes], files: bytes) -> Upload:
    """Keep the blob, unless the project has the same content: written first, counted by whoever
    holds the project's row, and taken away where it is not needed or too much."""
    known = Upload.objects.filter(project=new.project, hash=new.hash).first()
    if known is not None and default_storage.exists(known.blob) and touch(known):
        return known
    stored.require_room(new.project, new.size_bytes, instead_of=known)
    # Of its own: nobody who still deletes an earlier blob of this content may take this one.
    name = f"uploads/{new.project.pk}/{new.archive_hash}-{secrets.token_hex(4)}"
    row = None
    try:
        file.seek(0)
        new.blob = default_storage.save(name, File(file))
        row = _row(new, files, lost=known)
    finally:
        if row is None or row.blob != new.blob:
            default_storage.delete(name)
    if known is not None and known.blob != row.blob:
        default_storage.delete(known.blob)
    return row


def _row(new: Upload, files: bytes, *, lost: Upload | None) -> Upload:
    """The row of the blob just written, or that of who was faster with the same content."""
    with transaction.atomic():
        stored.lock(new.project)
        same = Upload.objects.filter(project=new.project, hash=new.hash)
        row = same.select_for_update().first()
        if row is not None and (lost is None or row.blob != lost.blob):
            touch(row)
            return row
        stored.require_room(new.project, new.size_bytes, instead_of=row)
        values = {name: getattr(new, name) for name in ("size_bytes", "blob", "archive_hash")}
        values["used_at"] = timezone.now()
        row, _ = same.update_or_create(project=new.project, hash=new.hash, defaults=values)
        UploadFiles.objects.update_or_create(upload=row, defaults={"packed": files})
    return row


def touch(upload: Upload) -> bool:
    """Keep an upload for another while, since somebody may be about to submit it. Return whether
    it is still there."""
    return bool(Upload.objects.filter(pk=upload.pk).update(used_at=timezone.now()))


def find(*, project: Project, digest: str, hold: bool = False) -> Upload:
    """Return a project's upload by the hash of what it holds, or of its archive. Raise NotFound.

    With `hold`, in a transaction, nobody deletes it before the transaction's end.
    """
    named = Upload.objects.filter(Q(hash=digest) | Q(archive_hash=digest), project=project)
    upload = (named.select_for_update(no_key=True) if hold else named).first()
    if upload is None:
        raise NotFound(f"There is no upload {digest[:12]} in this project: send the files (again).")
    return upload


def times_for(
    upload: Upload | None, *, project: Project, name: str, at: datetime
) -> dict[str, int]:
    """Return the times of files that must be later than packed, since another content of theirs
    was served by a run of this name before."""
    if upload is None:
        return {}
    now = int(at.timestamp())
    return file_times.instead(_files(upload.pk), _served(project, name), at=now)


def _served(project: Project, name: str) -> Iterator[file_times.Served]:
    versions = RunVersion.objects.filter(run__project=project, run__name=name)
    versions = versions.exclude(upload=None).order_by("-pk")
    left = LOOKED_AT_FILES
    for version in versions[:LOOKED_AT_VERSIONS]:
        files = _files(version.upload_id)
        yield file_times.Served(files, version.upload_times)
        left -= len(files)
        if left < 0:
            return


def _packed_files(held: contents.Entries) -> bytes:
    files = {
        path: (entry.content[:32], entry.time)
        for path, entry in held.items()
        if entry.kind == contents.FILE
    }
    return zlib.compress(json.dumps(files).encode())


def _files(upload_id: int | None) -> file_times.Files:
    """The files of an upload; of one from before times were kept nothing is known."""
    row = UploadFiles.objects.filter(pk=upload_id).first()
    if row is None:
        return {}
    found: dict[str, list[str | int]] = json.loads(zlib.decompress(bytes(row.packed)))
    return {path: (str(digest), int(time)) for path, (digest, time) in found.items()}
