"""From a folder to a published service: what `dstack run` does, step by step."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from apps.cli import answers, flags
from apps.cli.answers import Plan, Run
from apps.cli.completion import suggestions
from apps.cli.errors import CliError, Problem, Refused
from apps.cli.http.client import Client, address
from apps.cli.http.session import opened
from apps.cli.publish.configuration import (
    STDIN,
    Configuration,
    chosen_profile,
    in_file,
    passed_values,
    read_configuration,
)
from apps.cli.publish.follow import failure, until_ended, until_published, until_updated
from apps.cli.publish.requirements import Requirements
from apps.cli.publish.tail import Tail
from apps.cli.render.console import ask, clean, say, warn
from apps.cli.render.plan_view import plan_text
from apps.cli.upload.uploading import upload

INTERRUPTED = 130


@dataclass(frozen=True, kw_only=True)
class PublishOptions(Requirements):
    """The flags of `run` and `apply`."""

    file: Annotated[
        str | None, typer.Option("-f", "--file", metavar="FILE", help="The service's file.")
    ] = None
    name: Annotated[
        str | None,
        typer.Option(
            "-n",
            "--name",
            metavar="NAME",
            help="The name of the run.",
            autocompletion=suggestions.runs,
        ),
    ] = None
    detach: Annotated[bool, typer.Option("-d", "--detach", help="Return with the address.")] = False
    yes: flags.Yes = False
    env: Annotated[
        list[str] | None, typer.Option("-e", "--env", metavar="NAME[=VALUE]", help="Repeat it.")
    ] = None
    profile: Annotated[
        str | None, typer.Option("--profile", metavar="NAME", envvar="DSTACK_PROFILE")
    ] = None
    max_duration: Annotated[
        str | None, typer.Option("--max-duration", metavar="2h", help="Stop it after this time.")
    ] = None
    zones: Annotated[
        list[str] | None,
        typer.Option("--zone", metavar="NAME", help="Only this availability zone; repeat."),
    ] = None
    retry: Annotated[
        bool | None, typer.Option("--retry/--no-retry", help="Try again where it cannot start.")
    ] = None
    retry_duration: Annotated[
        str | None, typer.Option("--retry-duration", metavar="4h", help="Try again for so long.")
    ] = None
    idle_duration: Annotated[
        str | None,
        typer.Option("--idle-duration", metavar="5m", help="Keep its machine so long after it."),
    ] = None
    force: Annotated[
        bool, typer.Option("--force", help="New replicas and images, also where nothing differs.")
    ] = False

    def overrides(self) -> dict[str, Any]:
        """Return what flags say, by the keys of the configuration."""
        more = {
            "max_duration": self.max_duration,
            "availability_zones": self.zones or None,
            "retry": self._retry(),
            "idle_duration": self.idle_duration,
        }
        given = {key: value for key, value in more.items() if value is not None}
        return {**self.wishes(), **given}

    def _retry(self) -> bool | dict[str, str] | None:
        if self.retry_duration is None:
            return self.retry
        if self.retry is False:
            raise CliError("Choose one of --no-retry and --retry-duration.")
        return {"duration": self.retry_duration}


def publish(folder: str, options: PublishOptions) -> None:
    """Upload, plan, ask, submit and follow."""
    working = Path(folder)
    if not working.is_dir():
        raise CliError(f"{clean(folder)} is not a folder.")
    if options.file == STDIN and not options.yes:
        raise CliError("With -f - the answer cannot be read from stdin: add -y.")
    configuration = read_configuration(working, options.file)
    body = {
        "configuration": configuration.text,
        "name": options.name,
        "env": passed_values(configuration.text, options.env or [], environ=os.environ),
        "profile": chosen_profile(working, options.profile, home=_home()),
        "overrides": options.overrides(),
        **({"force": True} if options.force else {}),
    }
    with opened(options.project) as client:
        try:
            _validate(client, configuration)
            body |= upload(client, working, without=configuration.path)
            run = _submit(client, configuration, options, body)
        except Refused as refusal:
            raise _explained(refusal, configuration) from refusal
        if run is not None:
            _follow(client, run, options)


def _validate(client: Client, configuration: Configuration) -> None:
    """What is wrong in the file is said before anything is packed or sent."""
    body = {"configuration": configuration.text}
    found = client.post(address("specs", "validate"), body)
    if not found.get("valid"):
        problems = [
            Problem(one.get("path", ""), one.get("line"), one.get("column"), one.get("message", ""))
            for one in found.get("errors", [])
        ]
        raise Refused("", status=422, problems=problems)


def _submit(
    client: Client, configuration: Configuration, options: PublishOptions, body: dict[str, Any]
) -> Run | None:
    plan = answers.plan(
        client.post(client.within("runs", "plan"), body, max_offers=options.max_offers)
    )
    say(plan_text(plan, configuration=configuration.name, max_offers=options.max_offers))
    for warning in plan.warnings:
        warn(clean(warning))
    if plan.action != "none" and not options.yes and not ask(_question(plan)):
        raise CliError("Nothing was started.")
    accepted = {**body, "name": plan.name, "plan_id": plan.plan_id}
    run = answers.run(client.post(client.within("runs"), accepted))
    if options.detach and plan.current is not None:
        if plan.action == "update" and plan.rollout:
            say(_under_way(run, plan.current))
        _announce(run)
        return None
    if plan.action == "update" and plan.rollout:
        until_updated(client, run)
    return run


def _question(plan: Plan) -> str:
    if plan.action == "update":
        return f"Run {clean(plan.name)} already exists. Update the run?"
    if plan.current is not None:
        return f"Run {clean(plan.name)} already exists. Override the run?"
    return "Continue?"


def _explained(refusal: Refused, configuration: Configuration) -> CliError:
    if refusal.status == 409:
        return CliError(f"{refusal.message} Run the command again.")
    if not any(problem.line for problem in refusal.problems):
        return refusal
    lines = in_file(configuration.name, refusal.problems)
    if len(lines) == 1:
        return CliError(lines[0])
    return CliError(f"{configuration.name} has {len(lines)} problems:", notes=lines)


def _follow(client: Client, run: Run, options: PublishOptions) -> None:
    try:
        published = until_published(client, run.name)
        _announce(published)
        if options.detach:
            return
        Tail(client, run.name).show(follow=True)
        _end(client, run.name)
    except KeyboardInterrupt:
        _interrupted(client, run.name, detached=options.detach)


def _under_way(run: Run, before: Run) -> str:
    begun = f"Updating {clean(run.name)} to version {run.version}"
    return f"{begun}: replicas of version {before.version} stay until its own are ready."


def _announce(run: Run) -> None:
    if run.notice:
        warn(clean(run.notice))
    if run.model_url:
        say(f"The model is available at {clean(run.model_url)}")
    say(f"Service is published at {clean(run.url)}")


def _end(client: Client, name: str) -> None:
    """What followed the logs ends with the run, as the run did."""
    ended = answers.run(client.get(client.within("runs", name)))
    if ended.state == "failed":
        raise failure(ended)
    say(f"Run {name} was stopped.")


def _interrupted(client: Client, name: str, *, detached: bool) -> None:
    print(flush=True)
    if not detached and sys.stdin.isatty():
        if ask("Stop the run before detaching?"):
            client.post(client.within("runs", name, "stop"), {"abort": False})
            until_ended(client, name)
            say("Stopped")
            return
        say(f"Detached; dstack logs -f {name} attaches again.")
        return
    raise SystemExit(INTERRUPTED)


def _home() -> Path | None:
    try:
        return Path.home()
    except RuntimeError:
        return None
