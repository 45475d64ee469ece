"""The very image that a version runs: a tag may move while the version is the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from uuid import UUID

from apps.instances.models import Workload
from apps.runs import states
from apps.runs.models import Replica, Run
from apps.runs.notices import set_notice


def pin(run: Run, *, image: str) -> str | None:
    """Return what means the image of the run's version for good; None before a replica had it."""
    kept = run.versions.filter(number=run.deployment).values_list("image_pin", flat=True).first()
    return kept or used(run, deployment=run.deployment, image=image)


def used(run: Run, *, deployment: int, image: str) -> str | None:
    """Return what the first replica of a version got for an image."""
    carried = Workload.objects.filter(replica__run=run, replica__deployment=deployment)
    had = carried.filter(spec__image=image).exclude(image_pin="").order_by("pk")
    return had.values_list("image_pin", flat=True).first()


def keep(run: Run, *, of: int) -> None:
    """Let the run's version have the images of another version, to which it went back."""
    image = run.spec.get("image")
    known = used(run, deployment=of, image=image) if image else None
    older = run.versions.filter(number=of).values_list("image_pin", flat=True).first()
    if older or known:
        run.versions.filter(number=run.deployment).update(image_pin=older or known or "")


def tell_mixture(run_ids: Iterable[UUID]) -> None:
    """Say it on a run when replicas of its version do not run the same image."""
    ids = list(run_ids)
    if not ids:
        return
    serving = Replica.objects.filter(run_id__in=ids, state=states.RUNNING)
    rows = serving.exclude(workload__image_pin="").filter(workload__isnull=False)
    found: dict[tuple[UUID, int], set[str]] = defaultdict(set)
    for run_id, deployment, image in rows.values_list(
        "run_id", "deployment", "workload__image_pin"
    ):
        found[run_id, deployment].add(image)
    for (run_id, deployment), images in found.items():
        if len(images) > 1:
            listed = " and ".join(sorted(images))
            run = Run.objects.get(pk=run_id)
            text = f"Replicas of version {deployment} run different images: {listed}."
            set_notice(run=run, text=text)
