from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.runs.models import Run
from tests import factories
from tests.people import People, signed_in
from tests.printing import Printer, printer

LOGS = "/projects/main/services/hello/log-lines/"


@pytest.fixture
def run(people: People) -> Run:
    return factories.run(people.project, name="hello")


@pytest.fixture
def replica(run: Run) -> Printer:
    return printer(run)


def text(answer: Any) -> str:
    page: str = answer.content.decode()
    return page


def test_shows_the_newest_lines(people: People, replica: Printer) -> None:
    replica.send(*(f"line {number}" for number in range(600)))

    page = text(signed_in(people.bob).get(LOGS))

    assert "line 599<" in page
    assert "line 99<" not in page


def test_goes_on_after_the_cursor(people: People, replica: Printer) -> None:
    client = signed_in(people.bob)
    replica.send("first")
    cursor = client.get(LOGS).context["cursor"]
    replica.send("second", first=1)

    answer = client.get(LOGS, {"after": cursor})

    assert "second" in text(answer)
    assert "first" not in text(answer)
    assert client.get(LOGS, {"after": answer["X-Log-Cursor"]}).content.strip() == b""


def test_says_when_there_is_more(people: People, replica: Printer) -> None:
    replica.send(*(f"line {number}" for number in range(600)))

    answer = signed_in(people.bob).get(LOGS, {"after": "0-0"})

    assert answer["X-Log-More"] == "1"


def test_marks_and_keeps_what_was_searched_for(people: People, replica: Printer) -> None:
    replica.send("an <b>Error</b> here", "all is well")

    page = text(signed_in(people.bob).get(LOGS, {"q": "error"}))

    assert "&lt;b&gt;<mark>Error</mark>&lt;/b&gt;" in page
    assert "all is well" not in page


def test_shows_one_replica(people: People, run: Run, replica: Printer) -> None:
    replica.send("from zero")
    printer(run, num=1).send("from one")

    page = text(signed_in(people.bob).get(LOGS, {"replica": "1"}))

    assert "from one" in page
    assert "from zero" not in page


def test_shows_the_colours_of_a_terminal(people: People, replica: Printer) -> None:
    replica.send("\x1b[32mINFO\x1b[0m started \x1b]0;title\x07now")

    page = text(signed_in(people.bob).get(LOGS))

    assert '<span class="log-text"><span class="ansi-2">INFO</span> started now</span>' in page


@pytest.mark.parametrize(
    ("level", "shown"),
    [("", "abcd"), ("warning", "bc"), ("error", "c"), ("no such level", "abcd")],
)
def test_shows_one_level_and_what_is_worse(
    people: People, replica: Printer, level: str, shown: str
) -> None:
    replica.send("INFO a-line", "WARNING b-line", "\x1b[31mERROR\x1b[0m c-line", "d-line")
    client = signed_in(people.bob)

    page, more = (
        client.get(LOGS, {"level": level}),
        client.get(LOGS, {"level": level, "after": "0-0"}),
    )

    for answer in (page, more):
        assert "".join(each for each in "abcd" if f"{each}-line" in text(answer)) == shown


def test_shows_lines_since_a_time(people: People, replica: Printer) -> None:
    at = timezone.now()
    replica.send("old", at=at - timedelta(hours=2))
    replica.send("new", first=1, at=at)

    page = text(signed_in(people.bob).get(LOGS, {"since": "1h"}))

    assert ">new<" in page and ">old<" not in page


def test_goes_on_behind_all_lines_where_none_fits(people: People, replica: Printer) -> None:
    """The page asks for what comes, with none of the times before it."""
    client = signed_in(people.bob)
    replica.send("old", at=timezone.now() - timedelta(hours=2))
    cursor = client.get(LOGS, {"since": "1h"}).context["cursor"]
    replica.send("new", first=1)

    page = text(client.get(LOGS, {"after": cursor}))

    assert ">new<" in page and ">old<" not in page


def test_shows_replicas_in_the_order_of_time(people: People, run: Run, replica: Printer) -> None:
    at = timezone.now()
    printer(run, num=1).send("second", at=at)
    replica.send("first", at=at - timedelta(seconds=1))

    page = text(signed_in(people.bob).get(LOGS))

    assert page.index(">first<") < page.index(">second<")


def test_folds_replicas_that_ended(people: People, run: Run) -> None:
    for num, state in enumerate(("stopped", "failed", "running", "starting")):
        factories.replica(run, num=num, state=state)
    factories.replica(run, num=1, state="running", version=2)

    context = signed_in(people.bob).get(LOGS).context["replicas"]

    assert [num for num, _ in context["live"]] == [1, 2, 3]
    assert [num for num, _ in context["earlier"]] == [0]


def test_never_lets_a_line_be_markup(people: People, replica: Printer) -> None:
    replica.send("<script>alert(1)</script>")

    assert "<script>alert" not in text(signed_in(people.bob).get(LOGS))


@pytest.mark.parametrize(
    "query", [{"replica": "x"}, {"replica": "9" * 30}, {"q": ".*(["}, {"q": "x" * 5000}]
)
def test_takes_any_search(people: People, replica: Printer, query: dict[str, str]) -> None:
    replica.send("a line")

    assert signed_in(people.bob).get(LOGS, query).status_code == 200


@pytest.mark.parametrize("cursor", ["", "x", "1", "-1-0", "9" * 30 + "-0"])
def test_refuses_a_cursor_that_is_none(people: People, replica: Printer, cursor: str) -> None:
    assert signed_in(people.bob).get(LOGS, {"after": cursor}).status_code == 422


@pytest.mark.parametrize(
    ("newest", "shown"),
    [("2", "line 8\nline 9"), ("1", "line 9"), ("x", "line 9"), ("-1", "line 9"), ("", "line 9")],
)
def test_gives_the_newest_lines_as_text(
    people: People, replica: Printer, newest: str, shown: str
) -> None:
    replica.send(*(f"line {number}" for number in range(10)))

    assert text(signed_in(people.bob).get(LOGS, {"newest": newest})) == shown


def test_the_newest_lines_are_of_one_try(people: People, run: Run, replica: Printer) -> None:
    client, other = signed_in(people.bob), factories.run(people.project, name="other")
    replica.send("the first try failed")
    run.replicas.update(state="failed", finished_at=timezone.now())
    again, elsewhere = printer(run), printer(other)
    elsewhere.send("of another service")

    def of(printed: Printer) -> str:
        return text(client.get(LOGS, {"newest": "5", "workload": str(printed.workload.pk)}))

    assert of(replica) == "the first try failed"
    assert of(again) == of(elsewhere) == "It has written nothing yet."
    again.send("the second try")
    assert of(again) == "the second try"


def test_the_newest_lines_are_escaped_and_few(people: People, replica: Printer) -> None:
    client = signed_in(people.bob)
    assert text(client.get(LOGS, {"newest": "5"})) == "It has written nothing yet."

    replica.send(*["<b>\x1b[31mred\x1b[0m</b>" + "x" * 600] * 60)

    lines = text(client.get(LOGS, {"newest": "999"})).split("\n")
    assert len(lines) == 50
    assert lines[0].startswith("&lt;b&gt;red&lt;/b&gt;xxx")
    assert len(lines[0]) < 550
