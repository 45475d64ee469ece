"""What projects have stored: how much, which versions need it, and taking away what none needs.

A project's blobs are its own: the same folder sent to two projects lies there twice and counts
twice, so that nobody learns what another project has. What a person can still run or roll back to
needs its upload: each version of each run that is in the lists. A row is deleted under its lock,
after looking again who needs it, and its blob after the commit: a submit that names it holds the
row (`uploads.find`), so that either the submit or the deletion finds out.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet, Sum

from apps.accounts.models import Project
from apps.core.after_commit import after_commit
from apps.core.errors import Conflict, NotFound, OverQuota
from apps.instances import states as instance_states
from apps.instances.models import Workload
from apps.runs.models import Run, RunVersion, Upload

logger = logging.getLogger(__name__)

MB = 2**20
NAMED = 5
BATCH = 100


@dataclass(frozen=True, order=True)
class Need:
    """A version that runs, or may run again, with an upload."""

    run: str
    version: int

    def __str__(self) -> str:
        return f"version {self.version} of {self.run}"


def quota_bytes() -> int:
    return int(settings.DSTACK_UPLOADS_QUOTA_MB * MB)


def used_bytes(project: Project) -> int:
    """Return how much the uploads of a project take, packed."""
    return Upload.objects.filter(project=project).aggregate(sum=Sum("size_bytes"))["sum"] or 0


def lock(project: Project) -> None:
    """Have the uploads of a project counted one after another, until the transaction's end."""
    Project.objects.select_for_update(no_key=True).get(pk=project.pk)


def require_room(project: Project, size_bytes: int, *, instead_of: Upload | None = None) -> None:
    """Raise OverQuota where the project has no room for so much more."""
    wanted = used_bytes(project) + size_bytes - (instead_of.size_bytes if instead_of else 0)
    if wanted > quota_bytes():
        raise OverQuota(
            f"With it the uploads of project {project.name} would take {_mb(wanted)} of the "
            f"{settings.DSTACK_UPLOADS_QUOTA_MB} MB that they may. Delete some that nothing needs: "
            "they are listed on the page Uploads and by `dstack upload list`."
        )


def _mb(size_bytes: int) -> str:
    return f"{-(-size_bytes // MB)} MB"


def needs(uploads: Sequence[Upload]) -> Mapping[int, list[Need]]:
    """Return for each of these uploads the versions that need it, by run and version."""
    found: dict[int, set[Need]] = {upload.pk: set() for upload in uploads}
    versions = _versions().filter(upload__in=uploads)
    for pk, run, version in versions.values_list("upload_id", "run__name", "version"):
        found[pk or 0].add(Need(run, version))
    current = _runs().filter(upload__in=uploads)
    for pk, run, version in current.values_list("upload_id", "name", "version"):
        found[pk or 0].add(Need(run, version))
    return {pk: sorted(of) for pk, of in found.items()}


def _runs() -> QuerySet[Run]:
    """Runs that are over too: whoever sees one may run it again."""
    return Run.objects.filter(deleted_at=None)


def _versions() -> QuerySet[RunVersion]:
    return RunVersion.objects.filter(run__deleted_at=None)


def as_json(upload: Upload, needed_by: Iterable[Need]) -> dict[str, Any]:
    return {
        "hash": upload.hash,
        "size_bytes": upload.size_bytes,
        "created_at": upload.created_at,
        "used_at": upload.used_at,
        "needed_by": [{"run": need.run, "version": need.version} for need in needed_by],
    }


def delete(*, project: Project, digest: str) -> None:
    """Delete an upload of the project. Raise NotFound, and Conflict where a version needs it."""
    with transaction.atomic():
        named = Q(hash=digest) | Q(archive_hash=digest)
        upload = Upload.objects.select_for_update().filter(named, project=project).first()
        if upload is None:
            raise NotFound(f"There is no upload {digest[:12]} in project {project.name}.")
        needed_by = needs([upload])[upload.pk]
        if needed_by:
            listed = ", ".join(map(str, needed_by[:NAMED])) + (", ..." * (len(needed_by) > NAMED))
            raise Conflict(
                f"The upload {upload.hash[:12]} is needed by {listed}: delete what needs it first."
            )
        if _on_machines().filter(upload_blob=upload.blob).exists():
            raise Conflict(f"A replica still ends that started from {upload.hash[:12]}: wait.")
        _forget(upload)


def _on_machines() -> QuerySet[Workload]:
    return Workload.objects.exclude(state=instance_states.EXITED)


def _forget(upload: Upload) -> None:
    """Delete a row that the caller has locked; runs that were taken out of the lists let go."""
    RunVersion.objects.filter(upload=upload, run__deleted_at__isnull=False).update(upload=None)
    Run.objects.filter(upload=upload, deleted_at__isnull=False).update(upload=None)
    upload.delete()
    after_commit(default_storage.delete, upload.blob)


def prune(*, at: datetime) -> int:
    """Delete uploads that no version needs, and blobs without an upload, once nobody asked for
    them for DSTACK_UPLOAD_GRACE_HOURS. Return how many uploads are gone. Two at once are harmless.
    """
    before = at - timedelta(hours=settings.DSTACK_UPLOAD_GRACE_HOURS)
    gone = 0
    for pk in list(_unneeded(before).values_list("pk", flat=True)):
        with transaction.atomic():
            row = Upload.objects.select_for_update(skip_locked=True).filter(pk=pk).first()
            # Only under the lock is it certain that no submit is on its way.
            if row is not None and _unneeded(before).filter(pk=pk).exists():
                _forget(row)
                gone += 1
    for blob in _lost_blobs(before):
        logger.info("deleting %s, which no upload has", blob)
        default_storage.delete(blob)
    return gone


def _unneeded(before: datetime) -> QuerySet[Upload]:
    mine = {"upload": OuterRef("pk")}
    return Upload.objects.filter(
        ~Exists(_runs().filter(**mine)),
        ~Exists(_versions().filter(**mine)),
        ~Exists(_on_machines().filter(upload_blob=OuterRef("blob"))),
        used_at__lt=before,
    )


def _lost_blobs(before: datetime) -> Iterator[str]:
    """What a process left that ended between writing a blob and its row, or between the two
    deletions. A blob is older than its row, so that a young one may still get it."""
    for folder in _listed("uploads", 0):
        names = [f"uploads/{folder}/{name}" for name in _listed(f"uploads/{folder}", 1)]
        for start in range(0, len(names), BATCH):
            batch = set(names[start : start + BATCH])
            batch -= set(Upload.objects.filter(blob__in=batch).values_list("blob", flat=True))
            batch -= set(_on_machines().filter(upload_blob__in=batch).values_list(
                "upload_blob", flat=True
            ))  # fmt: skip
            yield from (name for name in sorted(batch) if _is_older(name, before))


def _listed(path: str, which: int) -> list[str]:
    try:
        return list(default_storage.listdir(path)[which])
    except FileNotFoundError:
        return []


def _is_older(name: str, before: datetime) -> bool:
    try:
        return default_storage.get_modified_time(name) < before
    except FileNotFoundError:
        return False
