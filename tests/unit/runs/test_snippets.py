"""Text to copy must run as it is, whatever a model is called."""

from __future__ import annotations

import ast
import json
import shlex

import pytest

from apps.runs import snippets


def test_a_snippet_of_an_open_service_needs_no_token() -> None:
    found = snippets.of_service(url="http://x", code_url="http://y", token=None, needs_token=False)

    assert found[0].code == "curl http://x"
    assert not any("Authorization" in snippet.code for snippet in found)


@pytest.mark.parametrize("name", ["meta/Llama", 'it\'s "quoted" $HOME', "modèle 日本", "a\\b"])
def test_a_model_is_named_as_it_is(name: str) -> None:
    found = {each.key: each.code for each in snippets.of_model(base_url="b", model=name, token="t")}
    curl = shlex.split(found["curl"].replace("\\\n", " "))
    call = ast.parse(found["python"])
    texts = {n.value for n in ast.walk(call) if isinstance(n, ast.Constant)}

    assert json.loads(curl[-1])["model"] == name
    assert {name, "t", "b"} <= texts
