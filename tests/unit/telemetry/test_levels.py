"""How serious a line is, in the words of many programs."""

from __future__ import annotations

import re

import pytest

from apps.telemetry.logs import levels

CASES = [
    ("2026-11-30 12:00:00,1 ERROR app: no such file", "error"),
    ("[12:00:00] WARN  app", "warning"),
    ("WARNING:root:low", "warning"),
    ("time=12:00 level=error msg=x", "error"),
    ('level=info msg="error rate 0"', ""),
    ('{"level": "warning", "message": "x"}', "warning"),
    ('{"severity":"CRITICAL"}', "error"),
    ("E1130 12:00:00.1 7 server.cc:1] no", "error"),
    ("W1130 12:00:00.1 7 server.cc:1] slow", "warning"),
    ("I1130 12:00:00.1 7 server.cc:1] error", ""),
    ('INFO:     10.0.0.1 - "GET /error HTTP/1.1" 200 OK', ""),
    ("INFO 0 errors, 0 warnings", ""),
    ("DEBUG trying again after an error", ""),
    ("ERROR:    Exception in ASGI application", "error"),
    ("Traceback (most recent call last):", "error"),
    ("RuntimeError: CUDA out of memory", "error"),
    ("java.lang.IllegalStateException: no", "error"),
    ("panic: runtime error: index out of range", "error"),
    ("Error: no such module", "error"),
    ("Segmentation fault (core dumped)", "error"),
    ("app.py:3: DeprecationWarning: old", "warning"),
    ("npm WARN deprecated x", "warning"),
    ("UserWarning: x", "warning"),
    ("plain words", ""),
    ("", ""),
]


@pytest.mark.parametrize(("text", "level"), CASES)
def test_reads_the_level(text: str, level: str) -> None:
    assert levels.of(text) == level


@pytest.mark.parametrize("text", [text for text, level in CASES if level])
def test_hints_find_all_that_has_a_level(text: str) -> None:
    assert re.search(levels.HINTS, text, re.IGNORECASE)
