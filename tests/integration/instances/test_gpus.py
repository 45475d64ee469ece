"""GPUs of a host that has several kinds: which of them a workload gets."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from apps.accounts.models import Project
from apps.backends.base import Gpu, Hardware, Offer
from apps.core.ids import new_id
from apps.instances.boot import machine_spec
from apps.instances.models import Instance, Workload
from apps.instances.services import NewWorkload, NoRoom, place
from tests import factories

BARE = Hardware(cpus=8, memory_mib=65536, disk_mib=100_000)
A100 = Gpu("A100", 40 * 1024, 2, indices=(0, 3), measured_mib=40536, compute_capability=(8, 0))
T4 = Gpu("T4", 16 * 1024, 2, indices=(1, 2))
HOST = Offer("local", "local", "box", BARE, 0.0, shared=True, executors=("process",))


def offer(gpu: Gpu | None) -> Offer:
    return replace(HOST, hardware=replace(BARE, gpu=gpu, gpu_problems=("GPU 4 does not work",)))


def placed(project: Project, gpu: Gpu | None, count: int) -> Workload:
    backend, _ = project.backends.get_or_create(kind="local", defaults={"config": ""})
    new = NewWorkload(new_id(), "one", {}, {"env": {}}, gpus=count)
    return place(project=project, backend=backend, offer=offer(gpu), new=new, at=timezone.now())


def exited(workload: Workload) -> None:
    Workload.objects.filter(pk=workload.pk).update(state="exited")


@pytest.mark.django_db
def test_each_kind_has_its_own_numbers_on_one_machine() -> None:
    project = factories.project()

    got = [placed(project, gpu, n).gpu_indices for gpu, n in ((T4, 1), (A100, 2), (T4, 1))]

    assert got == [[1], [0, 3], [2]]
    assert placed(project, None, 0).gpu_indices == []
    assert Instance.objects.count() == 1


@pytest.mark.django_db
def test_what_one_kind_lacks_the_other_does_not_give() -> None:
    project = factories.project()
    first = placed(project, T4, 2)

    with pytest.raises(NoRoom, match="0 of 2 T4 GPUs are free, 1 are needed"):
        placed(project, T4, 1)
    exited(first)

    assert placed(project, T4, 1).gpu_indices == [1]


@pytest.mark.django_db
def test_a_gpu_that_came_later_than_the_machine_is_found() -> None:
    project = factories.project()
    placed(project, None, 0)

    assert placed(project, A100, 1).gpu_indices == [0]


@pytest.mark.django_db(transaction=True)
def test_nothing_is_given_twice_to_those_who_ask_at_once() -> None:
    project = factories.project()
    placed(project, None, 0)

    def ask(gpu: Gpu) -> list[int]:
        try:
            return placed(project, gpu, 1).gpu_indices
        except NoRoom:
            return []
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(ask, [A100, T4] * 6))

    assert sorted(index for indices in got for index in indices) == [0, 1, 2, 3]


@pytest.mark.django_db
@pytest.mark.parametrize("more", [{}, {"what_a_newer_server_keeps": 1}])
def test_reads_the_offer_that_was_kept(more: dict[str, Any]) -> None:
    row = placed(factories.project(), A100, 1).instance
    row.refresh_from_db()
    stored = {**row.offer, **more}
    stored["hardware"] = {**row.offer["hardware"], **more}
    stored["hardware"]["gpu"] = {**row.offer["hardware"]["gpu"], **more}

    row.offer = stored
    read = machine_spec.offer_of(row)

    assert (read.instance, read.shared) == ("box", True)
    assert read.hardware.gpu is not None
    assert (read.hardware.gpu.name, read.hardware.gpu.numbers) == ("A100", (0, 3))
