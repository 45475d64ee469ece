"""The `dstack` command.

A command's module is loaded when it is called, so that `dstack --help` stays below 0.2 s: nothing
here may import the HTTP client, rich, pydantic or YAML.
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Annotated, Any, Protocol

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from apps.cli.errors import CliError
from apps.cli.render.console import complain

INTERRUPTED = 130
# Set by the scripts that shells complete with.
COMPLETE = "_DSTACK_COMPLETE"
# The first line of each command's own help, kept in step by a test.
COMMANDS = {
    "config": "Save a project: its server, name and token.",
    "run": "Run a service: upload the folder, show the plan, ask, follow it.",
    "apply": "Do what `run` does.",
    "ps": "List runs.",
    "logs": "Print what a run wrote.",
    "stop": "Stop a run and give back its machines.",
    "delete": "Delete a run that has ended.",
    "scale": "Set the number of replicas of a run, or its range.",
    "metrics": "Show what is asked of a run, what its replicas use, and what scaling did.",
    "requests": "List single requests of a run: when, what, by whose key, how they ended.",
    "rollback": "Return a run to an earlier version.",
    "events": "List what happened to a run, or in the project, and what scaling decided.",
    "spend": "Show what the project's machines cost, by run and by day.",
    "offer": "List offers without running anything.",
    "backend": "Connect, check, list and delete backends: where services run.",
    "host": "Add, list and remove own hosts: machines of yours, by ssh.",
    "instance": "List, show and terminate instances: the machines that services run on.",
    "gateway": "Create, show, change, upgrade and delete gateways: where services are published.",
    "upload": "List and delete uploaded folders.",
    "token": "Create, list and revoke tokens.",
    "project": "Add, list and choose saved projects; bound their machines and spend.",
    "completion": "Print the completion script of a shell, or install it.",
}
# The folder of each command's module, below `apps/cli/commands`; the others lie in `runs`.
FOLDERS = {
    **dict.fromkeys(("config", "project", "token", "completion"), "settings"),
    **dict.fromkeys(("backend", "gateway", "host", "instance", "offer"), "places"),
}


class _Formatter(Protocol):
    def section(self, name: str) -> AbstractContextManager[Any]: ...
    def write_dl(self, rows: Sequence[tuple[str, str]]) -> None: ...


class LazyGroup(TyperGroup):
    """A group that knows its commands by name and loads the one that is called."""

    def list_commands(self, ctx: object) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: object, cmd_name: str) -> TyperCommand | TyperGroup | None:
        if cmd_name not in COMMANDS:
            return None
        module = f"apps.cli.commands.{FOLDERS.get(cmd_name, 'runs')}.{cmd_name}"
        command = get_command(importlib.import_module(module).app)
        assert isinstance(command, (TyperCommand, TyperGroup))
        return command

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        completing = importlib.import_module("apps.cli.completion.script")
        options = TyperCommand.shell_complete(self, ctx, incomplete)
        return [*completing.commands(COMMANDS, incomplete), *options]

    def format_commands(self, ctx: object, formatter: _Formatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def main(self, *args: Any, **kwargs: Any) -> Any:
        return ending_well(lambda: super(LazyGroup, self).main(*args, **kwargs))


def ending_well(command: Callable[[], Any]) -> Any:
    """End the process with a sentence and an exit code, whatever happens.

    Raise SystemExit: 1 for an error, 2 for wrong usage, 130 for Ctrl-C.
    """
    try:
        return command()
    except CliError as error:
        complain(error)
    except BrokenPipeError:
        # The reader of our output left (`dstack ps | head`): nobody is there to be told.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    except Exception as error:  # the outermost handler: no traceback reaches a person
        if os.environ.get("DSTACK_DEBUG", "").lower() in ("1", "true", "yes", "on"):
            raise
        complain(CliError(_in_words(error)))
    raise SystemExit(1)


def _in_words(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = error.filename or os.environ.get("TMPDIR", "/tmp")
        return f"The disk of this machine is full ({where}): free some space and run again."
    name = type(error).__name__
    return f"A bug in dstack ({name}: {error}); DSTACK_DEBUG=1 shows where it happened."


app = typer.Typer(
    cls=LazyGroup,
    name="dstack",
    help="Publish models and web applications as services.",
    context_settings={"help_option_names": ["-h", "--help"]},
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
)


def _version(wanted: bool) -> None:
    if wanted:
        importlib.import_module("apps.cli.version").show()
        raise typer.Exit()


def _show_completion(wanted: bool) -> None:
    if wanted:
        print(importlib.import_module("apps.cli.completion.script").script(None))
        raise typer.Exit()


def _install_completion(wanted: bool) -> None:
    if wanted:
        name, path = importlib.import_module("apps.cli.completion.script").install(None)
        print(f"{name} completes dstack from its next start on, by {path}.")
        raise typer.Exit()


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    install_completion: Annotated[
        bool,
        typer.Option(
            "--install-completion",
            callback=_install_completion,
            is_eager=True,
            help="Make this shell complete dstack.",
        ),
    ] = False,
    show_completion: Annotated[
        bool,
        typer.Option(
            "--show-completion",
            callback=_show_completion,
            is_eager=True,
            help="Print this shell's completion script.",
        ),
    ] = False,
) -> None:
    """Publish models and web applications as services."""


def main() -> None:
    """Run the command that this process was started for."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal without UTF-8 shows a mark instead of failing.
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    if os.environ.get(COMPLETE):
        importlib.import_module("apps.cli.completion.script").answer(
            lambda: app(prog_name="dstack")
        )
    ending_well(lambda: app(prog_name="dstack"))
