"""Every filter, test and global of Jinja gives in the confined child what it gives outside."""

from __future__ import annotations

from collections.abc import AsyncIterator

import jinja2
import pytest
import pytest_asyncio

from gateway.tgi import sandbox
from gateway.tgi.errors import Refused
from gateway.tgi.templates import Renderer

# How each is called; the rest is called as `value | name` and `value is name`.
FILTERS = {
    "abs": "-1 | abs",
    "attr": "('x' | attr('upper'))()",
    "batch": "[1, 2, 3] | batch(2) | list",
    "dictsort": "{'b': 1, 'a': 2} | dictsort",
    "filesizeformat": "10000 | filesizeformat",
    "float": "'1.5' | float",
    "format": "'%s-%s' | format(1, 2)",
    "groupby": "[{'a': 1}, {'a': 2}] | groupby('a') | length",
    "int": "'12' | int",
    "items": "{'a': 1} | items | list",
    "map": "['a'] | map('upper') | list",
    "max": "[1, 2] | max",
    "min": "[1, 2] | min",
    "random": "[1] | random",
    "reject": "[1, 2] | reject('odd') | list",
    "rejectattr": "[{'a': 1}] | rejectattr('a') | list",
    "replace": "'ab' | replace('a', 'c')",
    "round": "1.26 | round(1)",
    "select": "[1, 2] | select('odd') | list",
    "selectattr": "[{'a': 1}] | selectattr('a') | list",
    "slice": "[1, 2, 3] | slice(2) | list",
    "sum": "[1, 2] | sum",
    "tojson": "{'a': [1, None]} | tojson(indent=2)",
    "unique": "[1, 1] | unique | list",
    "urlize": "'see https://example.com/x' | urlize",
    "wordwrap": "'several words that are wrapped' | wordwrap(8)",
    "xmlattr": "{'class': 'x'} | xmlattr",
}
TESTS = {
    "divisibleby": "4 is divisibleby 2",
    "even": "2 is even",
    "filter": "'upper' is filter",
    "in": "1 is in [1]",
    "odd": "1 is odd",
    "sameas": "none is sameas none",
    "test": "'odd' is test",
    **{name: f"1 is {name} 2" for name in ("==", "eq", "equalto", "!=", "ne", ">", "gt")},
    **{name: f"1 is {name} 2" for name in (">=", "ge", "<", "lt", "<=", "le", "greaterthan")},
    "lessthan": "1 is lessthan 2",
}
GLOBALS = {
    "range": "range(3) | list",
    "dict": "dict(a=1)",
    "lipsum": "lipsum(n=2) | length > 9",
    "cycler": "cycler(1, 2).next()",
    "joiner": "joiner(',')() ~ 'x'",
    "namespace": "namespace(a=1).a",
    "raise_exception": "raise_exception('said')",
    "strftime_now": "strftime_now('%Y %B %a %Z %c') | length > 9",
}
METHODS = [
    *(f"'ä'.encode('{name}')" for name in ("utf-8", "utf-16", "utf-32-le", "latin-1", "cp1252")),
    *(f"'a'.encode('{name}').decode('{name}')" for name in ("ascii", "utf-8-sig")),
    "'{:>8,.2f} {!r}'.format(1234.5, 'x')",
    "'ß'.casefold() ~ 'x'.center(5) ~ 'a b'.title()",
]
NOT_WORDS = {"==", "!=", ">", ">=", "<", "<="}


def expressions() -> list[str]:
    made = sandbox.environment()
    filters = [FILTERS.get(name, f"'some <b>text</b>' | {name}") for name in made.filters]
    words = [name for name in made.tests if name not in NOT_WORDS]
    tests = [TESTS.get(name, f"'text' is {name}") for name in words]
    compared = [f"[1, 2] | select('{name}', 2) | list" for name in NOT_WORDS & made.tests.keys()]
    return [*filters, *tests, *compared, *(GLOBALS[name] for name in made.globals), *METHODS]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def renderer() -> AsyncIterator[Renderer]:
    made = Renderer()
    await made.start()
    yield made
    await made.stop()


def outside(source: str) -> str:
    try:
        return sandbox.render(sandbox.environment().from_string(source), {}, continues=False)
    except (jinja2.TemplateError, TypeError, ValueError) as error:
        return f"refused: {error}"


async def inside(renderer: Renderer, source: str) -> str:
    try:
        return await renderer.render(source, {"messages": []}, continues=False)
    except Refused as refused:
        said = refused.message.removeprefix("The chat template refused this conversation: ")
        return f"refused: {said.removesuffix('.')}"


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("expression", sorted(set(expressions())))
async def test_gives_the_same_confined(renderer: Renderer, expression: str) -> None:
    source = "{{ " + expression + " }}"

    assert await inside(renderer, source) == outside(source)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", ["cp037", "idna", "big5", "no_such", "mbcs", "rot13", "../x"])
async def test_names_no_path_where_an_encoding_is_missing(renderer: Renderer, name: str) -> None:
    said = await inside(renderer, "{{ 'x'.encode('" + name + "') }}")

    assert said.startswith("refused: ")
    assert "Errno" not in said
    assert ".py" not in said
    assert "/" not in said.replace(name, "")
