"""Which errors a full disk is behind, tried on a disk that is full."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.db import OperationalError
from django.test import Client

from apps.core.errors import AppError
from apps.core.stores import disk
from apps.runs.files import packing, uploads
from apps.runs.models import Upload
from tests import factories
from tests.people import People, signed_in

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def temporary(small: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(small))
    return small


def noise(mib: int = 2) -> io.BytesIO:
    """A zip of what cannot be packed smaller."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(mib):
            archive.writestr(f"noise-{number}", os.urandom(2**20))
    buffer.seek(0)
    return buffer


def caused(outer: BaseException, inner: BaseException) -> BaseException:
    outer.__cause__ = inner
    return outer


class Full(Exception):
    sqlstate = "53100"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "x"), "files is full"),
        (OSError(errno.EDQUOT, "x"), "files is full"),
        (caused(RuntimeError(), OSError(errno.ENOSPC, "x")), "files is full"),
        (caused(OperationalError(), Full()), "database is full"),
        (OSError(errno.EACCES, "x"), None),
        (OperationalError("gone"), None),
        (ValueError(), None),
        (None, None),
    ],
)
def test_tells_a_full_disk_from_other_errors(error: BaseException | None, said: str | None) -> None:
    found = disk.refusal(error)

    assert (found is None) == (said is None)
    assert found is None or (said or "") in found.message
    assert found is None or (found.status, found.code) == (507, "disk_full")


@root_only
@pytest.mark.parametrize(("host", "full"), [("/run/somewhere", True), ("db.example.com", False)])
def test_names_the_disk_that_ended_our_database(
    small: Path, settings: Any, monkeypatch: pytest.MonkeyPatch, host: str, full: bool
) -> None:
    settings.SERVER_DIR = small
    # The table is shared with every later test: it gets its host back.
    monkeypatch.setitem(settings.DATABASES["default"], "HOST", host)

    found = disk.refusal(OperationalError("the server closed the connection"))

    assert (found is not None) == full
    assert found is None or "disk is full" in found.message


@root_only
@pytest.mark.django_db(transaction=True)
def test_keeps_nothing_of_an_upload_without_room(
    people: People, small: Path, settings: Any
) -> None:
    settings.MEDIA_ROOT = small
    with packing.packed(archive=noise()) as packed:
        with pytest.raises(OSError) as refused:
            uploads.save(project=people.project, chunks=packed.chunks())

        assert disk.refusal(refused.value)
        assert default_storage.listdir(f"uploads/{people.project.pk}") == ([], [])
        assert not Upload.objects.exists()


@root_only
@pytest.mark.usefixtures("temporary")
def test_does_not_call_files_broken_that_have_no_room() -> None:
    with pytest.raises((AppError, OSError)) as refused, packing.packed(archive=noise(20)):
        pass

    assert disk.refusal(refused.value), refused.value


@root_only
@pytest.mark.django_db(transaction=True)
def test_answers_pages_and_the_api_in_words(people: People, small: Path, settings: Any) -> None:
    settings.MEDIA_ROOT = small
    api = Client(headers=factories.token(people.bob).headers, raise_request_exception=False)
    browser, htmx = signed_in(people.bob), signed_in(people.bob, htmx="files")
    browser.raise_request_exception = htmx.raise_request_exception = False
    with packing.packed(archive=noise()) as packed:
        body = packed.file.read()

    answers = {
        "api": api.post("/api/projects/main/uploads", body, "application/gzip"),
        "page": browser.post("/projects/main/deploy/files/", {"archive": noise()}),
        "htmx": htmx.post("/projects/main/deploy/files/", {"archive": noise()}),
        "form": browser.post("/projects/main/deploy/", {"configuration": "x", "archive": noise()}),
    }

    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(
        answers, 507
    )
    assert all("Free some space" in answer.content.decode() for answer in answers.values())
    assert "toast" in answers["htmx"].content.decode()
    assert answers["api"].json()["error"]["code"] == "disk_full"
