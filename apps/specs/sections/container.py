"""The keys that say what runs: image, Python, user, commands; shared by services and groups."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from apps.specs.errors import Misfit
from apps.specs.fields.field_types import Form, JsonSchema, Section
from apps.specs.fields.scalars import FLAG, choice, flag, found, line, list_of, matching, text
from apps.specs.sections.resources import Resources
from apps.specs.sections.storage import inner_path
from apps.specs.yaml.tree import written

PYTHONS = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14")

# Linux refuses to start a program when one of its arguments is longer, with its NUL.
_MOST_BYTES = 128 * 1024

_TEXT: JsonSchema = {"type": "string", "minLength": 1}
_PYTHON: JsonSchema = {
    "anyOf": [{"enum": [*PYTHONS, "3.1"]}, {"enum": [float(version) for version in PYTHONS]}]
}
_COMMANDS: JsonSchema = {"type": "array", "items": _TEXT}
_USER: JsonSchema = {"type": ["string", "integer"]}

_image = matching(
    r"[A-Za-z0-9][A-Za-z0-9._-]*(?::\d{1,5})?(?:/[A-Za-z0-9._-]+)*(?::[\w.-]{1,128})?(?:@\w+:\w+)?",
    "an image such as python:3.12 or ghcr.io/owner/image:tag",
    limit=512,
)
_user = matching(
    r"(?:\d{1,10}|[A-Za-z_][A-Za-z0-9_.-]*)(?::(?:\d{1,10}|[A-Za-z_][A-Za-z0-9_.-]*))?",
    "a user such as app, 1000 or 1000:1000",
    limit=128,
)


def _python(value: Any) -> str:
    given = written(value) if isinstance(value, (int, float)) else value
    # YAML reads an unquoted 3.10 as the number 3.1, and there never will be another 3.1.
    given = "3.10" if given == "3.1" and not isinstance(value, bool) else given
    if given not in PYTHONS:
        raise Misfit(
            f"expected a Python version from {PYTHONS[0]} to {PYTHONS[-1]}, {found(value)}"
        )
    return str(given)


def _user_text(value: Any) -> str:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return _user(str(value) if whole else value)


def _entrypoint(value: Any) -> list[str]:
    try:
        words = shlex.split(line(value, limit=8192))
    except ValueError as error:
        if isinstance(error, Misfit):
            raise
        raise Misfit(f"a quote is not closed, {found(value)}") from error
    if not words or not words[0]:
        raise Misfit(f"expected a program and its arguments, {found(value)}")
    return words


def _command(value: Any) -> str:
    if isinstance(value, Mapping):
        raise Misfit("expected text, found a mapping: put the whole line in quotes")
    if isinstance(value, list):
        raise Misfit("expected text, found a list: write its items here, YAML does not join lists")
    given = text(value)
    if not given.strip():
        raise Misfit("expected a command, found an empty one: remove it")
    return given


_command_list = list_of(_command, "commands")


def read_commands(value: Any) -> list[str]:
    """Return the commands; all of them become one argument of a shell. Raise Misfit."""
    commands = _command_list(value)
    if sum(map(_bytes_in_program, commands)) >= _MOST_BYTES:
        raise Misfit("are longer than 128 KiB together: put them into a script among the files")
    return commands


def _bytes_in_program(command: str) -> int:
    """A quote is written with five characters there, and each command is fenced off."""
    return len(command.encode()) + 4 * command.count("'") + 64


def _shell(value: Any) -> str:
    given = line(value, limit=512)
    if given not in ("sh", "bash") and not (given.startswith("/") and ".." not in given):
        raise Misfit(f"expected sh, bash or an absolute path such as /bin/zsh, {found(value)}")
    return given


def _working_dir(value: Any) -> str:
    return inner_path(value)


class RegistryAuth(Section):
    """The credential of an image's registry; usually `${{ secrets.name }}`."""

    username: Annotated[str, Form(line, _TEXT)] = ""
    password: Annotated[str, Form(line, _TEXT)]


class Container(Section):
    """What runs in a replica."""

    image: Annotated[str | None, Form(_image, _TEXT)] = Field(
        default=None, description="Container image; without it, a base image with Python."
    )
    python: Annotated[str | None, Form(_python, _PYTHON)] = Field(
        default=None, description="Python version of the base image; excludes image."
    )
    nvcc: Annotated[bool, Form(flag, FLAG)] = False
    docker: Annotated[bool, Form(flag, FLAG)] = False
    privileged: Annotated[bool, Form(flag, FLAG)] = Field(
        default=False, description="Full access of the container to its host."
    )
    commands: Annotated[list[str], Form(read_commands, _COMMANDS)] = Field(
        default=[], description="Shell commands, run one after the other while they succeed."
    )
    resources: Resources = Field(default=Resources(), description="What a replica needs.")


class ServiceContainer(Container):
    """What runs in a replica, with the keys that a group of replicas may not change."""

    user: Annotated[str | None, Form(_user_text, _USER)] = Field(
        default=None, description="User in the container: name or id, :group."
    )
    entrypoint: Annotated[list[str] | None, Form(_entrypoint, _TEXT)] = Field(
        default=None, description="Replaces the image's entry point; commands become arguments."
    )
    working_dir: Annotated[str | None, Form(_working_dir, _TEXT)] = Field(
        default=None, description="Where commands run: absolute, or below the uploaded folder."
    )
    registry_auth: RegistryAuth | None = Field(
        default=None, description="User name and password of the image's registry."
    )
    shell: Annotated[str | None, Form(_shell, _TEXT)] = Field(
        default=None, description="Shell of the commands: sh, bash or an absolute path."
    )
    setup: Annotated[list[str], Form(read_commands, _COMMANDS)] = []
    home_dir: Annotated[str, Form(line, _TEXT)] = "/root"
    single_branch: Annotated[bool, Form(flag, FLAG)] = True
    dstack: Annotated[bool, Form(flag, FLAG)] = False


class Router(Section):
    """The router of a group of replicas."""

    type: Annotated[
        Literal["sglang", "dynamo"],
        Form(choice("sglang", "dynamo"), {"enum": ["sglang", "dynamo"]}),
    ]
