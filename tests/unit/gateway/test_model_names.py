"""Which model a JSON body names, found without parsing the whole of it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.openai.names import NotJson, in_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just("model"), inner),
)


@given(st.dictionaries(st.text() | st.just("model"), VALUES), st.booleans())
def test_finds_what_a_json_parser_finds(body: dict[str, object], ascii_only: bool) -> None:
    model = body.get("model")
    text = json.dumps(body, ensure_ascii=ascii_only)
    if "\\ud" in text.lower():
        return

    assert in_json(text.encode()) == (model if isinstance(model, str) else None)


@pytest.mark.parametrize(
    ("body", "model"),
    [
        ('{"model":"a"}', "a"),
        ('{"messages":["model"],"model" : "late"}', "late"),
        ('{"model":"a","model":"b"}', "a"),
        ('{"model":7,"model":"b"}', "b"),
        ('{"mod\\u0065l":"a"}', "a"),
        ('{"\\u006dodel":"a"}', "a"),
        ('{"a\\"model":"x","model":"a\\/b"}', "a/b"),
        ('{"x":{"model":"inner"}}', None),
        ('{"x":"model","y":"z"}', None),
        ('{"model":7}', None),
        ("{}", None),
        ('{"model":"a","broken', "a"),
    ],
)
def test_reads_the_outermost_model(body: str, model: str | None) -> None:
    assert in_json(body.encode()) == model


@pytest.mark.parametrize("body", ["", "hello", "[1]", '"model"', '[{"model":"a"}]', "{", "7"])
def test_says_that_a_body_is_no_object(body: str) -> None:
    with pytest.raises(NotJson):
        in_json(body.encode())


def test_wants_utf_8() -> None:
    assert in_json(b'\xef\xbb\xbf{"model":"a"}') == "a"
    for encoding in ("utf-16", "utf-16-le", "utf-32-be"):
        with pytest.raises(NotJson):
            in_json('{"model":"a"}'.encode(encoding))


def test_takes_deep_nesting_without_recursion() -> None:
    assert in_json(b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b',"model":"m"}') == "m"
