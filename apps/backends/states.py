"""The machine of a check: a provider is asked whether a configuration works, and what came of it.

An edge exists here or nowhere.
"""

from __future__ import annotations

from apps.core.state_machine import Look, Machine

CHECKING, PASSED, PROBLEMS = "checking", "passed", "problems"

CHECK = Machine(
    "check",
    {
        CHECKING: frozenset({PASSED, PROBLEMS}),
        PASSED: frozenset(),
        PROBLEMS: frozenset(),
    },
    {
        CHECKING: Look("blue", "the cloud is being asked"),
        PASSED: Look("green", "nothing is missing", "circle-check-filled"),
        PROBLEMS: Look("red", "something is missing", "alert-circle-filled"),
    },
)
