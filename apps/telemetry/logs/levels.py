"""How serious a line of a log is, as the program wrote it. Pure.

Programs write it in many ways: `ERROR`, `level=warn`, `"level": "error"`, `E0412` (glog), a word of
an exception. A level that is named decides; without one, words do.
"""

from __future__ import annotations

import re

ERROR, WARNING = "error", "warning"
# What a filter for one shows.
SHOWN = {"": frozenset[str](), ERROR: frozenset({ERROR}), WARNING: frozenset({ERROR, WARNING})}
# A level is named at a line's beginning, behind times, names and colours.
HEAD_CHARACTERS = 200
NAMED = re.compile(
    r"\b(TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|CRITICAL|FATAL|PANIC)\b"
    r"|\b(?:level|severity|lvl)\"?\s*[=:]\s*\"?([A-Za-z]+)"
    r"|^([DIWEF])[0-9]{4} [0-9:.]+"
    r"|^(INFO|WARNING|ERROR|CRITICAL):"
)
LEVELS = {
    **dict.fromkeys(("warn", "warning", "w"), WARNING),
    **dict.fromkeys(("error", "err", "critical", "fatal", "panic", "e", "f"), ERROR),
}
ERRORS = re.compile(
    r"\b(error|fatal|panic|[Tt]raceback|[Ss]egmentation fault|\w+(Error|Exception))\b"
)
WARNINGS = re.compile(r"\b(warning|warn|\w+Warning)\b", re.IGNORECASE)
# Every line that is an error or a warning has one of these, whichever way it says so.
HINTS = r"err|crit|fatal|panic|traceback|fault|exception|warn|level|severity|lvl|[WEF][0-9]{4} "


def of(text: str) -> str:
    """Return ERROR, WARNING or an empty text; the line has no colours."""
    if named := NAMED.search(text, 0, HEAD_CHARACTERS):
        return LEVELS.get(next(filter(None, named.groups())).lower(), "")
    if ERRORS.search(text) or text.startswith(("Error", "Fatal", "Exception")):
        return ERROR
    return WARNING if WARNINGS.search(text) else ""
