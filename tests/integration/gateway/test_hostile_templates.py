"""A template hurts nobody but itself."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio

from gateway.tgi.errors import Refused
from gateway.tgi.templates import Renderer

GOOD = "{% for m in messages %}[{{ m.role }}] {{ m.content }}{% endfor %}"
VARIABLES: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}
LOOP = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"


@pytest_asyncio.fixture
async def renderer(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Renderer]:
    monkeypatch.setenv("DSTACK_TEST_SECRET", "dsk_secret")
    made = Renderer()
    await made.start()
    yield made
    await made.stop()


async def render(renderer: Renderer, source: str) -> str:
    return await renderer.render(source, VARIABLES, continues=False)


async def refusal(renderer: Renderer, source: str) -> str:
    with pytest.raises(Refused) as refused:
        await render(renderer, source)
    return refused.value.message


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (LOOP, "took longer than 1 s"),
        ("{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}", ""),
        ("{{ 7 ** (10 ** 9) }}", "took longer than 1 s"),
        ("{{ 'a' * 10**10 }}", "too much memory"),
        ("{{ 'a' * 10**9 }}", "too much memory"),
        (
            "{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(60) %}"
            "{% set ns.x = ns.x + ns.x %}{% endfor %}",
            "",
        ),
        ("{% for a in range(99999) %}{{ 'a' * 1000 }}{% endfor %}", "more than 8388608 characters"),
        ("{{ range(10**9) | list }}", "Range too big"),
        ("{{ '%9999999999d' | format(1) }}", ""),
        ("{{ messages | tojson(indent=4000000000) }}", ""),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "unsafe"),
        ("{{ cycler.__init__.__globals__.os.popen('id').read() }}", "unsafe"),
        ("{{ namespace(__class__=1) }}", "takes no attribute"),
        ("{{ dict.mro() }}", "mro"),
        ("{{ messages.append(1) }}", "unsafe"),
        ("{{ messages[0].update(role='x') }}", "unsafe"),
        ("{% include '/etc/passwd' %}", "no loader"),
        ("{% import 'os' as os %}", "no loader"),
        ("{{ open('/etc/passwd') }}", "undefined"),
        ("{% for m in messages %}", "line 1"),
        ("{{ raise_exception('no') }}", "no"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ nobody.name }}", "undefined"),
    ],
)
async def test_stops_or_refuses(renderer: Renderer, source: str, said: str) -> None:
    began_at = time.monotonic()

    message = await refusal(renderer, source)

    assert said in message
    assert time.monotonic() - began_at < 5
    assert await render(renderer, GOOD) == "[user] hi"


@pytest.mark.parametrize(
    "source",
    [
        "{{ raise_exception.__globals__ }}",
        "{{ '{0.__class__}'.format('x') }}",
        "{{ ('%s' | attr('format'))('{0.__class__}', 1) }}",
        "{{ self.__init__ }}",
        "{{ messages | map(attribute='__class__') | list }}",
        "{{ cycler | attr('__init__') }}",
    ],
)
async def test_shows_nothing_of_python(renderer: Renderer, source: str) -> None:
    shown = await render(renderer, source)

    assert "class" not in shown.replace("0.__class__", "")
    assert "function" not in shown


async def test_goes_on_with_other_templates_meanwhile(renderer: Renderer) -> None:
    await render(renderer, GOOD)
    bad = [asyncio.create_task(refusal(renderer, LOOP + str(num))) for num in range(4)]
    await asyncio.sleep(0.1)

    async with asyncio.timeout(1):
        good = await asyncio.gather(*(render(renderer, GOOD) for _ in range(100)))

    assert set(good) == {"[user] hi"}
    assert not any(task.done() for task in bad[1:])
    assert all("1 s" in message for message in await asyncio.gather(*bad))


async def test_stops_a_template_that_was_good_before(renderer: Renderer) -> None:
    source = "{% if messages[0].content == 'loop' %}" + LOOP + "{% endif %}fine"
    await render(renderer, source)

    with pytest.raises(Refused, match="1 s"):
        await renderer.render(
            source, {"messages": [{"role": "user", "content": "loop"}]}, continues=False
        )

    assert await render(renderer, GOOD) == "[user] hi"


async def test_answers_what_stood_behind_a_template_that_was_stopped(renderer: Renderer) -> None:
    bad = asyncio.create_task(refusal(renderer, LOOP))
    await asyncio.sleep(0)

    behind = await asyncio.gather(*(render(renderer, GOOD) for _ in range(20)))

    assert set(behind) == {"[user] hi"}
    assert "1 s" in await bad


async def test_does_not_try_a_stopped_template_at_once_again(renderer: Renderer) -> None:
    await refusal(renderer, LOOP)
    began_at = time.monotonic()

    assert "1 s" in await refusal(renderer, LOOP)

    assert time.monotonic() - began_at < 1  # as long as it would run


async def test_goes_on_when_a_child_is_killed(renderer: Renderer) -> None:
    await render(renderer, GOOD)
    for child in children():
        child.send_signal(signal.SIGKILL)

    answers = await asyncio.gather(*(render(renderer, GOOD) for _ in range(50)))

    assert set(answers) == {"[user] hi"}


async def test_forgets_templates_when_there_are_many(renderer: Renderer) -> None:
    texts = [f"{num}" for num in range(600)]

    assert [await render(renderer, text) for text in texts] == texts
    assert await render(renderer, texts[0]) == texts[0]


async def test_gives_children_nothing_to_take(renderer: Renderer) -> None:
    for child in children():
        environ = Path(f"/proc/{child.pid}/environ").read_text()
        fds = {fd.name: str(fd.readlink()) for fd in Path(f"/proc/{child.pid}/fd").iterdir()}

        assert "secret" not in environ
        assert fds.keys() == {"0", "1", "2"}
        assert (fds["1"], fds["2"]) == ("/dev/null", "/dev/null")
        assert re.search(r"Max open files +0 +0", Path(f"/proc/{child.pid}/limits").read_text())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives children a user of their own")
async def test_gives_children_users_of_their_own(renderer: Renderer) -> None:
    users = {child.uids().real for child in children()}

    assert len(users) == 2
    assert 0 not in users


async def test_leaves_nothing_behind(renderer: Renderer) -> None:
    found = children()

    await renderer.stop()

    assert len(found) == 2
    assert not any(child.is_running() for child in found)


def children() -> list[psutil.Process]:
    mine = psutil.Process().children()
    return [child for child in mine if "gateway.tgi.child" in child.cmdline()]
