from __future__ import annotations

import pytest

from apps.specs.errors import SpecError
from apps.specs.parse import parse

YAML = "type: service\nimage: web\nport: 80\n"


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ("{'aws:team': a}", "expected a tag that does not begin with aws:"),
        ("{AWS:x: a}", "expected a tag that does not begin with aws:"),
        ("{" + ", ".join(f"t{n}: x" for n in range(41)) + "}", "has 41 tags; at most 40"),
        ("{'$(id)': a}", "expected a tag of letters, digits"),
        ("{'../x': a}", "expected a tag of letters, digits"),
    ],
)
def test_refuses_a_tag_that_no_machine_takes(tags: str, said: str) -> None:
    with pytest.raises(SpecError) as refused:
        parse(f"{YAML}tags: {tags}\n")

    assert said in str([problem.message for problem in refused.value.problems])


def test_takes_as_many_as_a_machine_does() -> None:
    tags = "{" + ", ".join(f"t{n}: x" for n in range(40)) + "}"

    assert len(parse(f"{YAML}tags: {tags}\n").tags) == 40
