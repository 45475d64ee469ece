"""References to secrets and variables, and values for the environment."""

from __future__ import annotations

import pytest

from apps.specs.errors import SpecError
from apps.specs.parse import fill_env, interpolate, missing_env, parse, secret_names
from apps.specs.sections.service import ServiceSpec
from tests.unit.specs.tables import service


def _env(value: str, *, secrets: dict[str, str] | None = None) -> str | None:
    spec = parse(service(f"env: ['A={value}']"))
    given = {"x": "one", "y-z": "two"} if secrets is None else secrets
    return interpolate(spec, secrets=given, env={"E": "three"}).env["A"]


@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        ("${{ secrets.x }}", "one"),
        ("${{secrets.x}}", "one"),
        ("${{  secrets.y-z  }}", "two"),
        ("${{ env.E }}", "three"),
        ("a${{ secrets.x }}b${{ env.E }}c", "aonebthreec"),
        ("$${{ secrets.x }}", "${{ secrets.x }}"),
        ("$$${{ secrets.x }}", "$${{ secrets.x }}"),
        ("p$$w$rd$", "p$$w$rd$"),
        ("{{ x }} ${x}", "{{ x }} ${x}"),
        ("plain", "plain"),
    ],
)
def test_replaces_references(value: str, meaning: str) -> None:
    assert _env(value) == meaning


def test_replaces_once_so_that_a_secret_may_look_like_a_reference() -> None:
    assert _env("${{ secrets.x }}", secrets={"x": "${{ env.E }}$${{"}) == "${{ env.E }}$${{"


def test_replaces_in_the_registry_s_credential_and_in_probes() -> None:
    spec = parse(
        "type: service\nimage: a\nport: 1\n"
        "registry_auth: {username: '${{ env.U }}', password: '${{ secrets.p }}'}\n"
        "probes: [{method: post, url: '/${{ env.U }}', body: '${{ secrets.p }}',"
        " headers: [{name: X, value: '${{ secrets.p }}'}]}]"
    )

    done = interpolate(spec, secrets={"p": "pass"}, env={"U": "me"})

    assert done.registry_auth is not None
    assert (done.registry_auth.username, done.registry_auth.password) == ("me", "pass")
    assert (done.probes[0].url, done.probes[0].body) == ("/me", "pass")
    assert done.probes[0].headers[0].value == "pass"


def test_undoes_only_the_escape_in_commands() -> None:
    spec = parse(service("commands: ['echo $$ $${{ x }} $X']"))

    assert interpolate(spec, secrets={}, env={}).commands == ["echo $$ ${{ x }} $X"]


def test_leaves_chat_templates_alone() -> None:
    spec = parse(service("model: {name: a, format: tgi, chat_template: '${{ secrets.x }}'}"))

    done = interpolate(spec, secrets={"x": "no"}, env={})

    assert done.model is not None
    assert done.model.chat_template == "${{ secrets.x }}"


def test_names_every_secret_and_variable_that_is_missing() -> None:
    spec = parse(service("env: ['A=${{ secrets.a }}', 'B=${{ env.b }}']"))

    with pytest.raises(SpecError) as refused:
        interpolate(spec, secrets={}, env={})

    assert [(p.path, p.message) for p in refused.value.problems] == [
        ("env.A", "no such secret: a"),
        ("env.B", "env.b has no value"),
    ]


def test_lists_the_secrets_that_a_spec_needs() -> None:
    spec = parse(
        service(
            "env: ['A=${{ secrets.a }}${{ secrets.b }}', 'C=$${{ secrets.c }}', 'D=${{ env.d }}']"
        )
    )

    assert secret_names(spec) == {"a", "b"}


def test_lists_variables_without_a_value_and_takes_values() -> None:
    spec = parse(service("env: [A=1, B, C=]"))

    filled = fill_env(spec, {"B": "two", "NEW": "x"})

    assert missing_env(spec) == ["B"]
    assert missing_env(filled) == []
    assert filled.env == {"A": "1", "B": "two", "C": "", "NEW": "x"}
    assert ServiceSpec.from_json(filled.to_json()) == filled


@pytest.mark.parametrize("env", [{"1A": "x"}, {"A B": "x"}, {"A": "\0"}, {"A": "x" * 140_000}])
def test_refuses_values_that_a_process_cannot_be_given(env: dict[str, str]) -> None:
    with pytest.raises(SpecError) as refused:
        fill_env(parse(service("")), env)

    assert refused.value.problems[0].path == f"env.{next(iter(env))}"
