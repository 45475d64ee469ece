"""A plan as it is shown before the question: what will run, and where it may."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.cli.answers import Plan
from apps.cli.render.console import clean
from apps.cli.render.offers_table import offers_table
from apps.cli.render.table import block
from apps.cli.render.words import price
from apps.specs.fields.durations import in_words

OFFERS_SHOWN = 3


def plan_text(plan: Plan, *, configuration: str, max_offers: int | None) -> str:
    """Lay out the properties of a plan and its first offers."""
    shown = plan.offers[: max_offers or OFFERS_SHOWN]
    parts = [block(_properties(plan, configuration)), ""]
    if plan.total_offers:
        total, highest = plan.total_offers, plan.max_price_usd_per_hour
        parts.append(offers_table(shown, total=total, max_price=highest))
    else:
        parts.append(" No offer fits now.")
    if plan.current is not None:
        parts += ["", *_changes(plan)]
    return "\n".join([*parts, ""])


def _properties(plan: Plan, configuration: str) -> list[tuple[str, str]]:
    spec = plan.spec or {}
    max_price = spec.get("max_price")
    return [
        ("Configuration", configuration),
        ("Project", plan.project),
        ("User", plan.user),
        ("Run", plan.name),
        ("Min resources", resources_text(spec.get("resources") or {})),
        ("Max price", price(max_price) if max_price else "-"),
        ("Max duration", _duration(spec.get("max_duration_seconds"))),
        *_utilization(spec.get("utilization_policy")),
        ("Spot policy", str(spec.get("spot_policy") or "-")),
        ("Retry policy", _retry(spec.get("retry"))),
        ("Replicas", _range(spec.get("replicas")) or "1"),
        *([("Shell", clean(plan.shell))] if plan.shell else []),
        ("Authentication", "yes" if spec.get("auth", True) else "no"),
        *([("Left out", _left_out(plan))] if plan.left_out else []),
        *([("Model", str(spec["model"].get("name")))] if spec.get("model") else []),
    ]


def _left_out(plan: Plan) -> str:
    return f"{', '.join(plan.left_out)} (`!NAME/` in .dstackignore brings one back)"


def _changes(plan: Plan) -> list[str]:
    """What an update changes, and how it comes about."""
    if plan.action == "none":
        said = f" Nothing differs from version {_version(plan)}, which is there already"
        return [f"{said}; --force deploys it again."]
    rows = [
        f"   {clean(one.path)}: {clean(one.old)} -> {clean(one.new)}" for one in plan.differences
    ]
    if plan.action == "replace":
        how = "the run is replaced: its address changes"
    elif plan.rollout:
        how = "new replicas get ready before old ones end"
    else:
        how = "in place, no replica restarts"
    if not rows and plan.rollout:
        return [f" Version {_version(plan)} is deployed again ({how})."]
    return [f" Changes to version {_version(plan)} ({how}):", *rows]


def _version(plan: Plan) -> int:
    return plan.current.version if plan.current else 0


def resources_text(resources: Mapping[str, Any]) -> str:
    """Write requirements: `2..xCPU, 8GB.., 1xA100 (80GB), 100GB.. (disk)`."""
    cpu = resources.get("cpu") or {}
    arch = f"{cpu['arch']}:" if cpu.get("arch") else ""
    parts = [
        f"{arch}{_range(cpu.get('count'))}xCPU",
        _memory(resources.get("memory_mib")),
        _gpu(resources.get("gpu")),
        f"{_memory(resources.get('disk_mib'))} (disk)" if resources.get("disk_mib") else "",
    ]
    return ", ".join(part for part in parts if part and part != "xCPU") or "-"


def _gpu(gpu: Mapping[str, Any] | None) -> str:
    count = _range((gpu or {}).get("count"))
    if not gpu or count == "0":
        return ""
    name = ",".join(gpu.get("name") or []) or gpu.get("vendor") or "GPU"
    memory = _memory(gpu.get("memory_mib"))
    return f"{count or 1}x{name}" + (f" ({memory})" if memory else "")


def _memory(mib: Mapping[str, Any] | None) -> str:
    return _range(mib, _gigabytes)


def _gigabytes(mib: float) -> str:
    return f"{round(mib / 1024, 2):g}GB"


def _range(bounds: Mapping[str, Any] | None, shown: Any = str) -> str:
    if not bounds:
        return ""
    least, most = bounds.get("min"), bounds.get("max")
    if least == most:
        return "" if least is None else str(shown(least))
    return "..".join("" if bound is None else str(shown(bound)) for bound in (least, most))


def _duration(seconds: int | None) -> str:
    return in_words(seconds) if seconds else "-"


def _utilization(policy: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    if not policy:
        return []
    least, window = policy.get("min_gpu_utilization"), _duration(policy.get("time_window_seconds"))
    return [("Utilization policy", f"ends when no GPU was used {least}% or more for {window}")]


def _retry(retry: Mapping[str, Any] | None) -> str:
    if not retry:
        return "no"
    limit = _duration(retry.get("duration_seconds"))
    return f"{', '.join(retry.get('on_events') or ['all'])} ({limit})"
