"""The sections of the Settings tab: what is typed changes the file, or is an error at its field."""

from __future__ import annotations

from typing import Any

import pytest

from apps.core.errors import AppError
from apps.runs.settings import saving
from apps.runs.settings.forms import FORMS
from apps.runs.settings.section import SectionForm
from apps.specs.parse import parse
from tests.commented_service import TEXT


def sent(text: str, section: str, typed: dict[str, Any]) -> SectionForm:
    """The form as a browser sends it, with some fields typed anew; None is an empty box."""
    spec = parse(text).to_json()
    shown = {field.name: field.value() for field in FORMS[section](spec)}
    data = {name: value for name, value in {**shown, **typed}.items() if value not in (None, False)}
    form = FORMS[section](spec, data)
    assert form.is_valid(), form.errors
    return form


def changed(text: str, section: str, typed: dict[str, Any]) -> str:
    changes = sent(text, section, typed).changes()
    found, is_rewritten = saving.changed_text(text, changes)
    assert not is_rewritten
    return found


@pytest.mark.parametrize(
    ("section", "typed", "old", "new"),
    [
        ("scaling", {"target": "12.5"}, "  target: 10", "  target: 12.5"),
        ("scaling", {"replicas": "0..2"}, "replicas: 1..2   #", "replicas: 0..2   #"),
        ("scaling", {"down": "2m"}, "target: 10\n", "target: 10\n  scale_down_delay: 2m\n"),
        ("scaling", {"metric": "concurrency"}, "metric: rps", "metric: concurrency"),
        ("access", {"auth": None}, "10\n", "10\n\nauth: false\n"),
        ("requests", {"concurrency": "4"}, "10\n", "10\n\nmax_concurrency: 4\n"),
        ("requests", {"hold": "30s"}, "10\n", "10\n\nhold:\n  timeout: 30s\n"),
        (
            "rate-limits",
            {"rps_0": "5", "burst_0": "10", "rps_1": "0.5", "header_1": "X-Key", "prefix_1": "/v1"},
            "10\n",
            "10\n\nrate_limits:\n  - rps: 5\n    burst: 10\n  - prefix: /v1\n    rps: 0.5\n"
            "    key:\n      type: header\n      header: X-Key\n",
        ),
        (
            "retry",
            {"retry": "on", "events": ["error"], "duration": "2h"},
            "10\n",
            "10\n\nretry:\n  on_events:\n    - error\n  duration: 2h\n",
        ),
        ("limits", {"longest": "8h"}, "10\n", "10\n\nmax_duration: 8h\n"),
        ("limits", {"stop": "off"}, "10\n", "10\n\nstop_duration: 'off'\n"),
        (
            "schedule",
            {"cron": "0 8 * * mon-fri\r\n", "stop": "0 18 * * *\r\n0 12 * * sat"},
            "10\n",
            "10\n\nschedule:\n  cron: 0 8 * * mon-fri\n"
            "  stop:\n    - 0 18 * * *\n    - 0 12 * * sat\n",
        ),
    ],
)
def test_changes_only_its_keys_of_the_file(
    section: str, typed: dict[str, Any], old: str, new: str
) -> None:
    assert changed(TEXT, section, typed) == TEXT.replace(old, new)


@pytest.mark.parametrize(
    "extra",
    [
        "auth: false\n",
        "max_concurrency: 4\nhold: {timeout: 30, max_requests: 5}\nidle_timeout: 90s\n",
        "rate_limits:\n- rps: 5\n- {rps: 0.5, prefix: /v1, key: {type: header, header: X}}\n",
        "retry: true\n",
        "retry: {on_events: [error], duration: 1h}\n",
        "max_duration: 8h\nstop_duration: off\nidle_duration: off\nmax_price: 1.50\n",
        "termination_policy: dont-destroy\n",
        "schedule: {cron: ['0 8 * * *', '0 9 * * 1'], stop: 0 18 * * *, timezone: Europe/Berlin}\n",
        "",
    ],
)
def test_what_is_sent_as_it_stands_changes_nothing(extra: str) -> None:
    for section in FORMS:
        assert sent(TEXT + extra, section, {}).changes() == {}


@pytest.mark.parametrize(
    ("extra", "section", "typed"),
    [
        ("retry: true\n", "retry", {"retry": None}),
        ("retry_policy: {retry: true}\n", "retry", {"retry": None}),
        ("schedule: {cron: 0 8 * * *}\n", "schedule", {"cron": ""}),
        ("rate_limits: [{rps: 5}]\n", "rate-limits", dict.fromkeys(
            ("prefix_0", "rps_0", "burst_0"), "")),
        ("max_duration: 8h\n", "limits", {"longest": ""}),
        ("termination_idle_time: 1m\n", "limits", {"idle": ""}),
        ("hold:\n  timeout: 30s\n", "requests", {"hold": ""}),
    ],
)  # fmt: skip
def test_takes_out_what_is_no_longer_wanted(
    extra: str, section: str, typed: dict[str, Any]
) -> None:
    assert changed(TEXT + extra, section, typed) == TEXT


@pytest.mark.parametrize(
    ("section", "typed", "field", "said"),
    [
        ("scaling", {"replicas": "4..1"}, "scaling-replicas", "4..1"),
        ("scaling", {"replicas": "1", "metric": "rps"}, "scaling-metric", "needs"),
        ("scaling", {"metric": ""}, "scaling-replicas", "needs"),
        ("scaling", {"target": "-1"}, "scaling-target", "-1"),
        ("scaling", {"target": ""}, "scaling-target", "missing"),
        ("scaling", {"window": "1s"}, "scaling-window", "at least 5s"),
        ("scaling", {"zero": "soon"}, "scaling-zero", "a duration"),
        ("requests", {"concurrency": "0"}, "requests-concurrency", "1"),
        ("requests", {"hold": "2h"}, "requests-hold", "at most 1h"),
        ("requests", {"idle": "x"}, "requests-idle", "a duration"),
        ("rate-limits", {"rps_1": "many"}, "rate-limits-rps_1", "many"),
        ("rate-limits", {"prefix_0": "/v1"}, "rate-limits-rps_0", "missing"),
        ("rate-limits", {"rps_0": "1", "header_0": "a b"}, "rate-limits-header_0", "a b"),
        ("retry", {"retry": "on", "events": []}, "retry-events", "at least one"),
        ("retry", {"retry": "on", "duration": "no"}, "retry-duration", "a duration"),
        ("limits", {"price": "cheap"}, "limits-price", "cheap"),
        ("limits", {"longest": "0s"}, "limits-longest", "at least"),
        ("schedule", {"cron": "8 o'clock"}, "schedule-cron", "five fields"),
        ("schedule", {"stop": "0 18 * * *"}, "schedule-cron", "missing"),
        ("schedule", {"cron": "0 8 * * *", "timezone": "Mars"}, "schedule-timezone", "Mars"),
    ],
)
def test_a_wrong_value_is_said_at_its_field(
    section: str, typed: dict[str, Any], field: str, said: str
) -> None:
    form = sent(TEXT, section, typed)

    with pytest.raises(AppError) as refused:
        saving.changed_text(TEXT, form.changes())
    form.refuse(refused.value)

    errors = {f"{section}-{name}": found for name, found in form.errors.items()}
    assert said in errors[field][0]


@pytest.mark.parametrize(
    "older", ["termination_policy: dont-destroy\n", "termination_idle_time: 1m\n"]
)
def test_the_newer_key_takes_the_place_of_the_older_one(older: str) -> None:
    assert changed(TEXT + older, "limits", {"idle": "10m"}) == f"{TEXT}\nidle_duration: 10m\n"


def test_a_variable_that_reads_like_a_number_keeps_its_text() -> None:
    text = TEXT + "env: {LEARNING_RATE: 1e-5, MODE: 0o17}\n"

    assert changed(text, "access", {"auth": None}) == f"{text}\nauth: false\n"


def test_lines_as_a_text_area_sends_them_are_the_same() -> None:
    text = TEXT + "schedule: {cron: ['0 8 * * *', \"0 9 * * 1\"]}\n"

    assert sent(text, "schedule", {"cron": "0 8 * * *\r\n0 9 * * 1\r\n"}).changes() == {}


def test_each_wrong_row_is_told_its_own_error() -> None:
    form = sent(TEXT, "rate-limits", {"rps_0": "many", "prefix_1": "v1", "rps_1": "1"})

    with pytest.raises(AppError) as refused:
        saving.changed_text(TEXT, form.changes())
    form.refuse(refused.value)

    assert set(form.errors) == {"rps_0", "prefix_1"}


def test_no_row_of_many_is_lost() -> None:
    text = TEXT + "rate_limits:\n" + "".join(f"- {{prefix: /{n}, rps: 1}}\n" for n in range(150))

    found = changed(text, "rate-limits", {"rps_149": "2"})

    limits = parse(found).rate_limits
    assert [limit.prefix for limit in limits] == [f"/{n}" for n in range(150)]
    assert [limit.rps for limit in limits] == [1.0] * 149 + [2.0]
