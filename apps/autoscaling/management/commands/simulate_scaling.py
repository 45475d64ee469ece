"""`manage.py simulate_scaling`: what scaling would do under a load, before anybody pays for it."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.autoscaling.decide import Policy
from apps.autoscaling.simulation import drawing, peers, traces
from apps.autoscaling.simulation.rules import Own
from apps.autoscaling.simulation.simulate import Service, simulate
from apps.specs.errors import Misfit
from apps.specs.sections.scaling import read_replicas


class Command(BaseCommand):
    help = "Replay a load through the code that scales services, and draw what happens."

    def add_arguments(self, parser: ArgumentParser) -> None:
        known = ", ".join(traces.TRACES)
        parser.add_argument("load", help=f"{known}, or a CSV file of second,rps")
        parser.add_argument("--replicas", default="0..10", help="the range (default 0..10)")
        parser.add_argument("--metric", choices=["rps", "concurrency"], default="rps")
        parser.add_argument("--target", type=float, default=10, help="per replica (default 10)")
        parser.add_argument("--window", type=float, default=60, help="seconds (default 60)")
        parser.add_argument("--scale-up-delay", type=float, default=0, help="seconds (default 0)")
        parser.add_argument("--scale-down-delay", type=float, default=300, help="default 300")
        parser.add_argument("--scale-to-zero-delay", type=float, help="default: that of down")
        parser.add_argument("--capacity", type=float, help="rps of a replica (default 2 x target)")
        parser.add_argument("--start", type=int, default=10, help="seconds to ready (default 10)")
        parser.add_argument("--hold", type=int, default=1000, help="requests held (default 1000)")
        parser.add_argument(
            "--compare", action="store_true", help="the rules of Knative, SkyServe and dstack too"
        )
        parser.add_argument("--html", type=Path, help="write the curves to this file")

    def handle(self, **options: Any) -> None:
        policy = _policy(options)
        capacity = options["capacity"] or 2 * options["target"]
        service = Service(capacity, max(options["start"], 0), max(options["hold"], 0))
        trace = _trace(options["load"])
        rules = peers.rules(policy) if options["compare"] else {"dstack-web": Own(policy)}
        runs = {
            name: simulate(rule, service, trace, least=policy.least) for name, rule in rules.items()
        }
        moments = next(iter(runs.values()))
        self.stdout.write(drawing.text(moments))
        self.stdout.write("\n" + "\n".join(drawing.decisions(moments)))
        self.stdout.write("\n" + drawing.summary(moments))
        if options["compare"]:
            self.stdout.write("\n" + "\n".join(drawing.comparison(runs)))
        if options["html"]:
            title = f"{options['load']}: {options['replicas']}, {policy.metric} {policy.target:g}"
            _write(options["html"], drawing.page(title, runs))
            self.stdout.write(f"The curves are in {options['html']}.")


def _policy(options: dict[str, Any]) -> Policy:
    try:
        limits = read_replicas(options["replicas"])
    except Misfit as error:
        raise CommandError(f"--replicas: {error}") from error
    if options["target"] <= 0 or (options["capacity"] or 1) <= 0 or options["window"] < 5:
        raise CommandError("--target and --capacity must be above 0, --window 5 or more.")
    down, zero = options["scale_down_delay"], options["scale_to_zero_delay"]
    return Policy(
        metric=options["metric"],
        target=options["target"],
        least=limits.min,
        most=limits.max,
        window_seconds=options["window"],
        up_delay_seconds=options["scale_up_delay"],
        down_delay_seconds=down,
        zero_delay_seconds=down if zero is None else zero,
    )


def _trace(load: str) -> traces.Trace:
    if load in traces.TRACES:
        return traces.TRACES[load]()
    try:
        return traces.recorded(Path(load).read_text().splitlines())
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise CommandError(f"{load}: {error}") from error


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        raise CommandError(f"{path}: {error}") from error
