"""The very image that a version runs: a tag may move while the version is the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from uuid import UUID

from apps.instances.models import Workload
from apps.runs import states
from apps.runs.models import Replica, Run
from apps.runs.notices import set_notice


def pin(run: Run, *, image: str, version: int | None = None) -> str | None:
    """Return what means the image of a version for good; None before a replica had it.

    Without `version`, of the run's present version.
    """
    version = run.version if version is None else version
    kept = run.versions.filter(version=version).values_list("image_pin", flat=True).first()
    return kept or used(run, version=version, image=image)


def used(run: Run, *, version: int, image: str) -> str | None:
    """Return what the first replica of a version got for an image."""
    carried = Workload.objects.filter(replica__run=run, replica__version=version)
    had = carried.filter(spec__image=image).exclude(image_pin="").order_by("pk")
    return had.values_list("image_pin", flat=True).first()


def keep(run: Run, *, of: int) -> None:
    """Let the run's version have the images of another version, to which it went back."""
    image = run.spec.get("image")
    known = pin(run, image=image, version=of) if image else None
    if known:
        run.versions.filter(version=run.version).update(image_pin=known)


def moved(run: Run, *, since: int) -> bool:
    """Tell whether the run's version has another image than an earlier one got for the same tag."""
    image = run.spec.get("image")
    before = pin(run, image=image, version=since) if image else None
    return before is not None and before != pin(run, image=image)


def tell_mixture(run_ids: Iterable[UUID]) -> None:
    """Say it on a run when replicas of its version do not run the same image."""
    ids = list(run_ids)
    if not ids:
        return
    serving = Replica.objects.filter(run_id__in=ids, state=states.RUNNING)
    rows = serving.exclude(workload__image_pin="").filter(workload__isnull=False)
    found: dict[tuple[UUID, int], set[str]] = defaultdict(set)
    for run_id, version, image in rows.values_list("run_id", "version", "workload__image_pin"):
        found[run_id, version].add(image)
    for (run_id, version), images in found.items():
        if len(images) > 1:
            listed = " and ".join(sorted(images))
            run = Run.objects.get(pk=run_id)
            text = f"Replicas of version {version} run different images: {listed}."
            set_notice(run=run, text=text)
