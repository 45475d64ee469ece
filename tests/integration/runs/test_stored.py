"""What uploads take, who needs them, and how they go away."""

from __future__ import annotations

import io
import random
import tarfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection, transaction
from django.utils import timezone

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.core.errors import AppError, Conflict, NotFound, OverQuota
from apps.instances.models import Workload
from apps.runs import services
from apps.runs.files import stored, uploads
from apps.runs.models import Run, RunVersion, Upload
from apps.runs.planning.request import PlanRequest
from apps.runs.rollout import versions
from tests import factories
from tests.people import signed_in

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("eager", "gateway")]

YAML = "type: service\nname: hello\ncommands: [serve]\nport: 8000\n"


@pytest.fixture(autouse=True)
def blobs(tmp_path: Any, settings: Any) -> None:
    settings.MEDIA_ROOT = tmp_path / "blobs"


def packed(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        info = tarfile.TarInfo("a.txt")
        info.size, info.mtime = len(content), 1_700_000_000
        tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def noise(number: int, kib: int = 400) -> bytes:
    return packed(random.Random(number).randbytes(kib * 1024))


def sent(project: Project, number: int) -> Upload:
    return uploads.save(project=project, chunks=[noise(number)])


def submit(alice: Access, project: Project, upload: Upload, text: str = YAML) -> Run:
    request = PlanRequest(text, upload=upload.hash)
    return services.submit(access=alice, project=project, request=request)


def later(settings: Any) -> datetime:
    return timezone.now() + timedelta(hours=settings.DSTACK_UPLOAD_GRACE_HOURS, minutes=1)


def files(project: Project) -> list[str]:
    return list(stored._listed(f"uploads/{project.pk}", 1))


def in_threads(work: Callable[[int], object], times: int) -> list[object]:
    """Run `work` in so many threads that begin together; what it raises is its result."""
    together = threading.Barrier(times)

    def one(number: int) -> object:
        try:
            together.wait(30)
            return work(number)
        except AppError as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(one, range(times)))


def test_takes_no_more_than_the_quota(project: Project, settings: Any) -> None:
    settings.DSTACK_UPLOADS_QUOTA_MB = 1
    sent(project, 1)
    sent(project, 2)

    with pytest.raises(OverQuota, match="would take 2 MB of the 1 MB"):
        sent(project, 3)

    assert sent(project, 2).pk  # what is there already takes nothing
    assert len(files(project)) == 2
    other = factories.project()
    assert sent(other, 3).project == other


def test_takes_no_more_from_many_at_once(project: Project, settings: Any) -> None:
    settings.DSTACK_UPLOADS_QUOTA_MB = 1

    found = in_threads(lambda number: sent(project, number), 6)

    assert sorted(type(one).__name__ for one in found) == ["OverQuota"] * 4 + ["Upload"] * 2
    assert stored.used_bytes(project) <= stored.quota_bytes()
    assert len(files(project)) == 2


def test_keeps_one_blob_of_what_many_send_at_once(project: Project) -> None:
    found = in_threads(lambda _: sent(project, 1).pk, 6)

    assert len(set(found)) == 1
    assert [Upload.objects.get().blob.rpartition("/")[2]] == files(project)


def test_does_not_share_blobs_between_projects(project: Project) -> None:
    other = factories.project()
    first, second = sent(project, 1), sent(other, 1)

    stored.delete(project=other, digest=second.hash)

    assert default_storage.exists(first.blob)
    assert not default_storage.exists(second.blob)
    with pytest.raises(NotFound):
        stored.delete(project=other, digest=first.hash)


def test_says_which_versions_need_what(alice: Access, project: Project) -> None:
    first, second, third = (sent(project, number) for number in range(3))
    submit(alice, project, first)
    submit(alice, project, second)

    needs = stored.needs([first, second, third])

    assert [list(map(str, needs[each.pk])) for each in (first, second, third)] == [
        ["version 1 of hello"],
        ["version 2 of hello"],
        [],
    ]
    for needed in (first, second):
        with pytest.raises(Conflict, match="needed by version . of hello"):
            stored.delete(project=project, digest=needed.hash)
    stored.delete(project=project, digest=third.hash)
    assert not default_storage.exists(third.blob)
    assert versions.rollback(access=alice, run=Run.objects.get(), to=1).upload == first


def test_lets_go_what_a_deleted_run_needed(alice: Access, project: Project, settings: Any) -> None:
    upload = sent(project, 1)
    run = submit(alice, project, upload)
    Run.objects.filter(pk=run.pk).update(state="stopped", next_check_at=None)
    Workload.objects.update(state="exited")
    at = later(settings)
    assert stored.prune(at=at) == 0

    services.delete(access=alice, run=Run.objects.get())

    assert stored.prune(at=at) == 1
    assert files(project) == []
    assert RunVersion.objects.get().upload is None


@pytest.mark.parametrize("state", ["running", "stopping", "stopped", "failed"])
def test_prunes_nothing_that_can_still_be_run(
    alice: Access, project: Project, settings: Any, state: str
) -> None:
    first, second = sent(project, 1), sent(project, 2)
    submit(alice, project, first)
    submit(alice, project, second)
    Run.objects.update(state=state)

    assert stored.prune(at=later(settings)) == 0
    assert len(files(project)) == 2


def test_prunes_what_nobody_needs_or_asks_for(project: Project, settings: Any) -> None:
    kept, gone = sent(project, 1), sent(project, 2)
    Upload.objects.update(used_at=timezone.now() - timedelta(hours=25))
    uploads.touch(kept)

    assert stored.prune(at=timezone.now()) == 1
    assert [each.pk for each in Upload.objects.all()] == [kept.pk]
    assert not default_storage.exists(gone.blob)


def test_keeps_what_a_replica_still_starts_from(project: Project, settings: Any) -> None:
    upload = sent(project, 1)
    workload = factories.workload(factories.instance(project), upload_blob=upload.blob)

    assert stored.prune(at=later(settings)) == 0
    with pytest.raises(Conflict, match="still ends"):
        stored.delete(project=project, digest=upload.hash)
    Workload.objects.filter(pk=workload.pk).update(state="exited")
    assert stored.prune(at=later(settings)) == 1


def test_prunes_blobs_that_a_killed_process_left(project: Project, settings: Any) -> None:
    kept = sent(project, 1)
    lost = default_storage.save(f"uploads/{project.pk}/lost", ContentFile(b"half"))

    stored.prune(at=timezone.now())
    assert default_storage.exists(lost)  # its row may be about to be written

    Upload.objects.update(used_at=later(settings))
    stored.prune(at=later(settings))
    assert not default_storage.exists(lost)
    assert default_storage.exists(kept.blob)


def test_leaves_no_blob_of_an_upload_that_broke(project: Project, settings: Any) -> None:
    settings.DSTACK_UPLOADS_QUOTA_MB = 0

    with pytest.raises(OverQuota):
        sent(project, 1)

    assert files(project) == []


@pytest.mark.parametrize("way", ["prune", "delete"])
def test_never_loses_the_upload_of_a_submit(
    alice: Access, project: Project, settings: Any, way: str
) -> None:
    at = later(settings)
    for number in range(12):
        upload = sent(project, number)
        text = YAML.replace("hello", f"hello-{number}")

        def work(role: int, upload: Upload = upload, text: str = text) -> object:
            if role:
                return submit(alice, project, upload, text).pk
            if way == "prune":
                return stored.prune(at=at)
            stored.delete(project=project, digest=upload.hash)
            return None

        _, submitted = in_threads(work, 2)

        run = Run.objects.filter(name=f"hello-{number}").first()
        assert (run is None) == isinstance(submitted, NotFound), submitted
        if run is not None:
            assert run.upload is not None and default_storage.exists(run.upload.blob)


def test_waits_for_a_submit_that_holds_the_upload(project: Project, settings: Any) -> None:
    upload = sent(project, 1)
    at = later(settings)
    with transaction.atomic():
        uploads.find(project=project, digest=upload.hash, hold=True)
        (pruned,) = in_threads(lambda _: stored.prune(at=at), 1)

    assert pruned == 0
    assert default_storage.exists(upload.blob)


def test_sends_again_what_was_deleted_under_the_same_name(project: Project) -> None:
    first = sent(project, 1)
    stored.delete(project=project, digest=first.hash)

    second = sent(project, 1)

    # Whoever still deletes the first blob must not take the second.
    assert second.blob != first.blob
    assert default_storage.exists(second.blob)


def test_sends_again_what_was_lost_on_the_disk(project: Project) -> None:
    first = sent(project, 1)
    default_storage.delete(first.blob)

    second = sent(project, 1)

    assert second.pk == first.pk
    assert default_storage.exists(second.blob)


def test_shows_and_deletes_them_on_the_page(alice: Access, project: Project) -> None:
    needed, spare = sent(project, 1), sent(project, 2)
    submit(alice, project, needed)
    client = signed_in(alice.user)

    text = client.get("/projects/main/uploads/").content.decode()
    assert "version 1 of hello" in text and spare.hash[:12] in text
    assert text.count("/delete/") == 1

    refused = client.post(f"/projects/main/uploads/{needed.hash}/delete/")
    assert refused.status_code == 409
    assert "needed by version 1 of hello" in refused.content.decode()
    assert client.post(f"/projects/main/uploads/{spare.hash}/delete/").status_code == 302
    assert Upload.objects.get() == needed
