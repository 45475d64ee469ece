"""HAProxy's rules as we write them: the files of `rules/`, by step. Pure.

HAProxy takes each rule in one line, so what it reads is made of these files:

- `{find.cfg}` stands for that file;
- `{threads}` stands for a value that is filled in, and `{route.endpoint}` for one of `WORDS`;
- a backslash at a line's end joins it with the next one, without that one's indentation.
"""

from __future__ import annotations

import re
from pathlib import Path

from gateway.haproxy import error_pages
from gateway.state import limits, records, sample_line

FOLDER = Path(__file__).parent / "rules"
FILES = {path.name: path.read_text() for path in sorted(FOLDER.glob("*.cfg"))}
# HAProxy's own braces have blanks, digits or capitals behind them.
PLACE = re.compile(r"\{([a-z][a-z0-9_]*(?:\.[a-z0-9_]+)?)\}")
LINE_BREAK = re.compile(r"\\\n *")
# HAProxy's words for what Python has a name for.
WORDS = {
    **records.words(),
    **{f"page.{status}": answer for status, answer in error_pages.answers().items()},
    "page.type": error_pages.INNER_TYPE,
    "sample.line": sample_line.log_format(),
    "sample.line_of_one": sample_line.log_format(weight="1"),
    "clock.round_us": str(limits.ROUND_US),
    "clock.step_us": str(limits.START_STEP_US),
}


def text(name: str, **values: str) -> str:
    """Return a file as HAProxy reads it; raises KeyError for a place that has no value."""
    known = WORDS | values

    def put(found: re.Match[str]) -> str:
        place = found[1]
        return text(place, **values).removesuffix("\n") if place in FILES else known[place]

    return PLACE.sub(put, LINE_BREAK.sub("", FILES[name]))
