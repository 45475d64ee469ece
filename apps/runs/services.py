"""The verbs of runs: plan, submit, stop, scale, delete."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from django.core import signing
from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.backends.base import Offer
from apps.core import crypto
from apps.core.errors import Conflict, Invalid, NotFound
from apps.core.transition import created, transition
from apps.gateways import queries as gateways
from apps.gateways import reach
from apps.gateways.models import Gateway
from apps.instances import services as instances
from apps.offers import queries as offers
from apps.offers import spread
from apps.runs import machine_limits, public_urls, queries, states
from apps.runs.files import uploads
from apps.runs.models import Run
from apps.runs.planning import model_names, names, replicas_limit, reuse
from apps.runs.planning.diff import CREATE, NONE, REPLACE, UPDATE, Difference, needs_rollout
from apps.runs.planning.request import PlanRequest, complete, read, spec_of
from apps.runs.rollout import versions
from apps.runs.rollout.versions import Content, content_of
from apps.runs.scale import manual_scale, scaling
from apps.runs.scale.scaling import scale, scale_warnings
from apps.specs.sections.service import ServiceSpec

__all__ = [
    "Plan",
    "PlanRequest",
    "delete",
    "plan",
    "scale",
    "scale_warnings",
    "stop",
    "submit",
    "without_secrets",
]

SHOWN_OFFERS = 50
PLAN_SALT = "dstack.plan"
PLAN_SECONDS = 3600
# What the column of why a run stopped holds.
REASON_CHARACTERS = 200


@dataclass(frozen=True)
class Plan:
    """What would happen to `current`, the active run of that name.

    `action` is "create", "update" (`rollout`: by new replicas; else in place), "none" where nothing
    differs and nothing forces it, or "replace" where the address itself changes. `shell` says which
    one the commands run in, None where there is none.
    """

    plan_id: str
    name: str
    action: str
    current: Run | None
    spec: ServiceSpec
    offers: Sequence[Offer]
    total_offers: int
    max_price_usd_per_hour: float | None
    url: str
    model_url: str | None
    shell: str | None = None
    warnings: Sequence[str] = ()
    gateway: Gateway | None = None
    differences: Sequence[Difference] = ()
    force: bool = False

    @property
    def rollout(self) -> bool:
        return self.action == UPDATE and (self.force or needs_rollout(self.differences))


def plan(*, access: Access, project: Project, request: PlanRequest) -> Plan:
    """Say what submitting the request would do; change nothing.

    Raise Invalid with every problem that can be seen beforehand.
    """
    spec = complete(spec_of(request), request.env)
    name = spec.name or names.random_name()
    gateway = _gateway(project, spec)
    _check_names(project, gateway, spec, name)
    current = queries.active_run(project, name)
    replicas_limit.require(project, spec.replicas.max, current=current)
    found = _found(access, project, spec, gateway)
    # Waiting for capacity is of no use where nothing is connected that could ever have some.
    waits = bool(found.backends) and "no-capacity" in _retry_events(spec)
    if not found.matches.offers and not waits:
        raise offers.refusal(found)
    shell, remarks = offers.shell(found, spec), offers.remarks(found, spec)
    remarks += scaling.crowded(found, spec, spec.replicas.max)
    content = _content(project, request, spec)
    remarks += _about_offers(project, spec, found.matches.offers)
    action, differences = _action(current, gateway, content, force=request.force)
    if action != NONE:
        remarks += machine_limits.check(
            *(project, spec, found.matches.offers),
            current=current if action == UPDATE else None,
            surges=request.force or needs_rollout(differences),
            waits=waits,
        )
    warned = [*_warnings(project, gateway, found.matches.offers), *_undone(current, spec), *remarks]
    return Plan(
        plan_id=signing.dumps([name, *_identity(current)], salt=PLAN_SALT),
        name=name,
        action=action,
        current=current,
        spec=spec,
        offers=found.matches.offers[:SHOWN_OFFERS],
        total_offers=found.total,
        max_price_usd_per_hour=found.max_price_usd_per_hour,
        url=public_urls.url_on(
            gateway, name, project.name, host=spec.gateway is not False, https=spec.https
        ),
        model_url=public_urls.openai_url(gateway) if spec.model and gateway else None,
        shell=shell,
        warnings=warned,
        gateway=gateway,
        differences=differences,
        force=request.force,
    )


def _identity(current: Run | None) -> list[str | int | None]:
    """What must be the same still when a plan is submitted: the run, its version, its scale."""
    if current is None:
        return [None, None, None, None]
    replicas = current.spec["replicas"]
    return [str(current.pk), current.version, replicas["min"], replicas["max"]]


def _action(
    current: Run | None, gateway: Gateway | None, new: Content, *, force: bool
) -> tuple[str, Sequence[Difference]]:
    """An address belongs to a gateway, so on another one it is another run."""
    if current is None:
        return CREATE, ()
    found = versions.differences(content_of(current), new)
    if current.gateway_id != (gateway.pk if gateway else None):
        return REPLACE, found
    return (UPDATE if found or force or current.model_withheld else NONE), found


def _content(
    project: Project, request: PlanRequest, spec: ServiceSpec, *, hold: bool = False
) -> Content:
    """With `hold`, the upload stays there until the transaction's end."""
    digest = request.upload
    auth = spec.registry_auth
    password = auth.password if auth else None
    return Content(
        configuration=crypto.encrypt(request.configuration),
        spec=without_secrets(spec),
        secrets=crypto.encrypt({"env": spec.env, "registry_password": password}),
        upload=uploads.find(project=project, digest=digest, hold=hold) if digest else None,
    )


def _retry_events(spec: ServiceSpec) -> Sequence[str]:
    return spec.retry.on_events if spec.retry else ()


def _gateway(project: Project, spec: ServiceSpec) -> Gateway | None:
    wanted = spec.gateway if isinstance(spec.gateway, str) else None
    return gateways.gateway_for(project, name=wanted)


def _check_names(project: Project, gateway: Gateway | None, spec: ServiceSpec, name: str) -> None:
    if gateway is None:
        return
    if queries.taken_on(gateway, name, but=project):
        raise Invalid(f"{name} is taken on this gateway: choose another name.")
    model = spec.model.name if spec.model else None
    model_names.require_free(gateway, model, project=project, name=name)


def _warnings(project: Project, gateway: Gateway | None, fitting: Sequence[Offer]) -> list[str]:
    if gateway is None:
        return [gateways.how_to_have_one(project)]
    return reach.doubts(gateway, [offer.kind for offer in fitting])


def _found(
    access: Access, project: Project, spec: ServiceSpec, gateway: Gateway | None
) -> offers.Found:
    return offers.find(
        project=project,
        spec=spec,
        trusted=access.user.is_superuser,
        why_unreached=reach.of(gateway),
        purpose=offers.Purpose.SERVICE,
    )


def _about_offers(project: Project, spec: ServiceSpec, fitting: Sequence[Offer]) -> list[str]:
    apart = spread.remarks(fitting, replicas=spec.replicas.max)
    idle = reuse.remarks(project, spec, fitting)
    return [*idle, *apart, *_unmeasured(spec, fitting)]


def _unmeasured(spec: ServiceSpec, fitting: Sequence[Offer]) -> list[str]:
    """Say where a `utilization_policy` cannot act; only NVIDIA's GPUs tell their load."""
    told = [one for one in fitting if one.hardware.gpu and one.hardware.gpu.vendor == "nvidia"]
    if spec.utilization_policy is None or not fitting or told:
        return []
    what = f"{fitting[0].instance} has no GPU that tells how much it is used"
    return [f"utilization_policy: does not act: {what}."]


def _undone(current: Run | None, spec: ServiceSpec) -> list[str]:
    """What a person did to the run beside its file, and the file would take back."""
    if current is None:
        return []
    said = manual_scale.warning(current, (spec.replicas.min or 0, spec.replicas.max))
    return [said] if said else []


def submit(
    *, access: Access, project: Project, request: PlanRequest, plan_id: str | None = None
) -> Run:
    """Start the service, or make it the next version of an active run.

    Where nothing differs, nothing happens unless the request forces it. A run on another gateway
    is replaced.
    With a `plan_id`, raise Conflict when the run that the plan was about changed since.
    """
    seen, request = _seen(plan_id), read(request)
    if seen and spec_of(request).name is None:
        request = replace(request, name=cast(str, seen[0]))
    wanted = plan(access=access, project=project, request=request)
    if seen and seen != [wanted.name, *_identity(wanted.current)]:
        raise Conflict(f"{wanted.name} changed since the plan was made: look at it again.")
    try:
        with transaction.atomic():
            if wanted.current is not None and wanted.action != REPLACE:
                new = _content(project, request, wanted.spec, hold=True)
                return _update(wanted, new, access=access, seen=seen is not None)
            if wanted.current is not None:
                _request_stop(wanted.current, actor=access.actor, reason="replaced")
            return _create(access, project, request, wanted)
    except IntegrityError as error:
        if model_names.was_taken(error):
            raise model_names.conflict() from error
        raise Conflict(f"{wanted.name} was just submitted by somebody else.") from error


def _update(wanted: Plan, new: Content, *, access: Access, seen: bool) -> Run:
    current = cast(Run, wanted.current)
    run = Run.objects.select_for_update(of=["self"]).get(pk=current.pk)
    if seen and _identity(run) != _identity(current):
        raise Conflict(f"{run.name} changed since the plan was made: look at it again.")
    return versions.update(run, new, access=access, force=wanted.force)


def _seen(plan_id: str | None) -> list[str | int | None] | None:
    if plan_id is None:
        return None
    try:
        seen: list[str | int | None] = signing.loads(plan_id, salt=PLAN_SALT, max_age=PLAN_SECONDS)
    except signing.BadSignature as error:
        raise Conflict("This plan is too old or not ours: make a new one.") from error
    return seen


def _create(access: Access, project: Project, request: PlanRequest, wanted: Plan) -> Run:
    at = timezone.now()
    content = _content(project, request, wanted.spec, hold=True)
    times = uploads.times_for(content.upload, project=project, name=wanted.name, at=at)
    run = Run(
        project=project,
        user=access.user,
        name=wanted.name,
        gateway=wanted.gateway,
        state=states.RUN.initial,
        state_at=at,
        next_check_at=at,
        created_at=at,
        failures_counted_since=at,
        desired_replicas=wanted.spec.replicas.min or 0,
        **vars(replace(content, upload_times=times)),
    )
    run.save()
    if not Project.objects.filter(pk=project.pk, deleted_at=None).exists():
        raise NotFound(f"Project {project.name} was just deleted.")
    versions.keep(run)
    created(run, at=at, actor=access.actor, reason="submitted")
    return run


def without_secrets(spec: ServiceSpec) -> dict[str, Any]:
    """Return the spec as it is stored and shown: no value of a variable."""
    stored: dict[str, Any] = {**spec.to_json(), "name": None}
    stored["env"] = dict.fromkeys(stored.get("env") or {})
    if stored.get("registry_auth"):
        stored["registry_auth"] = {**stored["registry_auth"], "password": "(kept)"}
    return stored


def stop(*, access: Access, run: Run, abort: bool = False) -> Run:
    """Stop a run; `abort` does not wait for requests in flight.

    Stopping what is over already changes nothing.
    """
    with transaction.atomic():
        run = Run.objects.select_for_update().get(pk=run.pk)
        if run.is_final:
            return run
        if abort:
            _abort(run)
        _request_stop(run, actor=access.actor, reason="aborted" if abort else "stopped")
    return Run.objects.get(pk=run.pk)


def stop_by_itself(*, run: Run, reason: str) -> None:
    """Stop a run by a rule of its own spec, as a person would."""
    with transaction.atomic():
        _request_stop(run, actor="", reason=reason[:REASON_CHARACTERS])


def _abort(run: Run) -> None:
    """Replicas that drain already are cut short; the others will not drain for long."""
    Run.objects.filter(pk=run.pk).update(abort=True)
    draining = run.replicas.filter(state=states.DRAINING)
    draining.filter(drained_at__isnull=True).update(drained_at=timezone.now())
    workloads = [replica.workload for replica in draining.select_related("workload__instance")]
    ending = [workload for workload in workloads if workload]
    instances.stop_workloads(workloads=ending, at=timezone.now(), stop_seconds=0.0)


def _request_stop(run: Run, *, actor: str, reason: str) -> None:
    run = Run.objects.select_for_update().get(pk=run.pk)
    at = timezone.now()
    if run.state in (states.STOPPING, *states.RUN.final):
        return
    if not ServiceSpec.from_json(run.spec).wrote("idle_duration"):
        live = run.replicas.exclude(state__in=states.REPLICA.final).exclude(instance=None)
        instances.release(instance_ids=list(live.values_list("instance_id", flat=True)))
    transition(
        run,
        states.STOPPING,
        at=at,
        reason=reason,
        actor=actor,
        stop_requested_at=at,
        stop_reason=reason,
        next_check_at=at,
    )


def delete(*, access: Access, run: Run) -> None:
    """Take a run that is over out of the lists. Raise Conflict otherwise."""
    if not run.is_final:
        raise Conflict(f"{run.name} is {run.state}: stop it first.")
    Run.objects.filter(pk=run.pk).update(deleted_at=timezone.now())
