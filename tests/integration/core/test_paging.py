from __future__ import annotations

import pytest

from apps.accounts.models import Project
from apps.core.errors import Invalid
from apps.core.http.paging import page
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def names() -> list[str]:
    names = ["b", "a", "d", "c", "e"]
    for name in names:
        factories.project(name)
    return names


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 9])
@pytest.mark.parametrize(("by", "backwards"), [("name", False), ("-name", True)])
def test_reads_everything_once_page_by_page(
    names: list[str], limit: int, by: str, backwards: bool
) -> None:
    found: list[str] = []
    cursor, first = None, True
    while first or cursor:
        part = page(Project.objects.all(), by=by, limit=limit, cursor=cursor)
        found += [project.name for project in part.rows]
        cursor, first = part.next_cursor, False

    assert found == sorted(names, reverse=backwards)


def test_says_that_there_is_no_next_page(names: list[str]) -> None:
    assert page(Project.objects.all(), by="-id", limit=5).next_cursor is None
    assert page(Project.objects.none(), by="-id").rows == []


@pytest.mark.parametrize("limit", [0, -1, 1001, 2**70])
def test_refuses_a_limit_that_makes_no_sense(limit: int) -> None:
    with pytest.raises(Invalid, match="limit"):
        page(Project.objects.all(), by="name", limit=limit)


@pytest.mark.parametrize("cursor", ["x", "-1", "1.5", "9" * 30, "\0", "1 OR 1=1", "\ud800"])
def test_refuses_a_cursor_that_is_none(cursor: str) -> None:
    with pytest.raises(Invalid, match="cursor"):
        page(Project.objects.all(), by="-id", cursor=cursor)
