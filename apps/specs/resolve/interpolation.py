"""References: `${{ secrets.NAME }}` and `${{ env.NAME }}`, and values of the environment.

References are replaced in `env`, `registry_auth` and `probes`. They are refused in `commands` and
`entrypoint`, where a secret would show in the list of processes: put it into `env` and use the
shell's `$NAME`. `$${{` stands for a literal `${{`; a `$$` before anything else is left alone, for
it is the shell's and many passwords hold it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

from apps.specs.errors import MOST_PROBLEMS, Misfit, Path, SpecError, SpecProblem, path_text
from apps.specs.fields.env import env_name, env_value
from apps.specs.sections.service import ServiceSpec

_REFERENCE = re.compile(
    r"\$\$\{\{|\$\{\{(?:\s*(secrets|env)\.([A-Za-z_][\w-]{0,255})\s*\}\})?", re.A
)
_REPLACED = ("env", "registry_auth", "probes")
_PLAIN = ("commands", "entrypoint")

Replace = Callable[[Path, str], str]


def interpolate(
    spec: ServiceSpec, *, secrets: Mapping[str, str], env: Mapping[str, str]
) -> ServiceSpec:
    """Return the spec with its references replaced, once, not again inside.

    Raise SpecError that names every secret and variable that is not given.
    """
    problems: list[SpecProblem] = []
    given = {"secrets": secrets, "env": env}

    def value_of(path: Path, kind: str, name: str) -> str:
        if name in given[kind]:
            return given[kind][name]
        what = f"no such secret: {name}" if kind == "secrets" else f"env.{name} has no value"
        problems.append(SpecProblem(path_text(path), None, None, what))
        return ""

    def replace(path: Path, text: str) -> str:
        return _REFERENCE.sub(
            lambda found: value_of(path, found[1], found[2]) if found[1] else found[0][-3:], text
        )

    stored = spec.to_json()
    for key in _REPLACED:
        stored[key] = _mapped(stored[key], (key,), replace)
    # In commands only the escape is undone: `misplaced_references` has refused the rest.
    for key in _PLAIN:
        stored[key] = _mapped(stored[key], (key,), lambda _, text: text.replace("$${{", "${{"))
    if problems:
        raise SpecError(problems)
    return ServiceSpec.from_json(stored)


def secret_names(spec: ServiceSpec) -> set[str]:
    """Return the names of the secrets that the spec refers to."""
    names: set[str] = set()

    def collect(_: Path, text: str) -> str:
        names.update(found[2] for found in _REFERENCE.finditer(text) if found[1] == "secrets")
        return text

    stored = spec.to_json()
    for key in _REPLACED:
        _mapped(stored[key], (key,), collect)
    return names


def missing_env(spec: ServiceSpec) -> list[str]:
    """Return the variables of the environment that still need a value."""
    return [name for name, value in spec.env.items() if value is None]


def fill_env(spec: ServiceSpec, env: Mapping[str, str]) -> ServiceSpec:
    """Put values (`-e NAME=value`, the deploy page) over the spec's own.

    Raise SpecError for names and values that a process cannot be given.
    """
    problems: list[SpecProblem] = []
    for name, value in env.items():
        try:
            env_value(env_name(name), value)
        except Misfit as misfit:
            problems.append(SpecProblem(path_text(("env", name)), None, None, str(misfit)))
    if problems:
        raise SpecError(problems)
    return spec.model_copy(update={"env": {**spec.env, **env}})


def misplaced_references(keys: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """Yield references that are broken, or stand where none is replaced: each once in a text."""
    for key in (*_REPLACED, *_PLAIN):
        for path, text in _texts(keys.get(key), (key,)):
            # What is said tells no two places in a text apart, and a text may hold very many.
            kinds = {(each[0][:2], each[1], each[2]): each for each in _REFERENCE.finditer(text)}
            for found in islice(kinds.values(), MOST_PROBLEMS):
                message = _misplaced(key, found)
                if message:
                    yield path, message


def _misplaced(key: str, found: re.Match[str]) -> str:
    if found[0].startswith("$$"):
        return ""
    if key in _REPLACED:
        return (
            ""
            if found[1]
            else "expected ${{ secrets.NAME }} or ${{ env.NAME }}; a literal ${{ is written $${{"
        )
    name = found[2] or "NAME"
    advice = (
        f"use ${name}"
        if found[1] == "env"
        else f"add `{name}: ${{{{ secrets.{name} }}}}` to env and use ${name}"
    )
    return f"references are not replaced in {key}: {advice}; a literal ${{{{ is written $${{{{"


def _texts(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(item, (*path, key))
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from _texts(item, (*path, at))


def _mapped(value: Any, path: Path, replace: Replace) -> Any:
    if isinstance(value, str):
        return replace(path, value)
    if isinstance(value, dict):
        return {key: _mapped(item, (*path, key), replace) for key, item in value.items()}
    if isinstance(value, list):
        return [_mapped(item, (*path, at), replace) for at, item in enumerate(value)]
    return value
