"""No text of a megabyte costs more than half a second, whatever it holds."""

from __future__ import annotations

import resource

import pytest

from apps.runs.planning import shell_syntax
from apps.specs import parse
from apps.specs.errors import SpecError
from apps.specs.yaml.events import MAX_BYTES
from tests.unit.specs import megabytes

# Half a second on a machine that has its processor for itself, and twice as much more for one that
# shares it. What the shells take, which read commands in processes of their own, counts, too.
MOST_SECONDS = 1.5
KINDS = megabytes.kinds()


def cpu_seconds() -> float:
    found = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in found)


def seconds_of(text: str) -> float:
    began = cpu_seconds()
    try:
        spec = parse.parse(parse.decode(text.encode()), read_by_shell=shell_syntax.unreadable)
    except SpecError as error:
        assert error.problems
    else:
        assert spec.to_json()
    return cpu_seconds() - began


@pytest.mark.parametrize("kind", KINDS)
def test_is_read_or_refused_soon(kind: str) -> None:
    slow = {}
    for place, make in KINDS[kind].items():
        text = make()
        assert len(text.encode()) <= MAX_BYTES
        if (seconds := seconds_of(text)) > MOST_SECONDS:
            slow[place] = seconds

    assert slow == {}
