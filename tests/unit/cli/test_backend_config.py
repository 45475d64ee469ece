"""The configuration of a backend as it is given: a file, keys with values, and both."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from apps.cli import backend_config
from apps.cli.errors import CliError

SECRET = "wJalrXUtnFEMI/K7MDENG"


@pytest.mark.parametrize(
    ("pairs", "config"),
    [
        ([], {}),
        (["public_ips=false"], {"public_ips": False}),
        (["vpc_id=null"], {"vpc_id": None}),
        (["regions=us-east-1,eu-west-1"], {"regions": "us-east-1,eu-west-1"}),
        (["regions=[us-east-1, eu-west-1]"], {"regions": ["us-east-1", "eu-west-1"]}),
        (["creds={type: default}"], {"creds": {"type": "default"}}),
        (["creds.type=x", "creds.a.b=1=2"], {"creds": {"type": "x", "a": {"b": "1=2"}}}),
        (["a=012345678901"], {"a": "012345678901"}),
        (["a=[012345678901, 1e3]"], {"a": ["012345678901", "1e3"]}),
        (["a=$(rm -rf /)"], {"a": "$(rm -rf /)"}),
        (["a="], {"a": ""}),
    ],
)
def test_sets_keys(pairs: list[str], config: dict[str, Any]) -> None:
    assert backend_config.read(None, pairs) == config


@pytest.mark.parametrize(
    "text",
    [
        "creds:\n  type: default\nregions: [us-east-1]\n",
        '{"creds": {"type": "default"}, "regions": ["us-east-1"]}',
    ],
)
def test_reads_yaml_and_json(tmp_path: Path, text: str) -> None:
    file = tmp_path / "aws.yml"
    file.write_text(text)

    assert backend_config.read(str(file), ["regions=eu-west-1", "creds.more=x"]) == {
        "creds": {"type": "default", "more": "x"},
        "regions": "eu-west-1",
    }


def test_reads_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    given = SimpleNamespace(buffer=io.BytesIO(b"regions: [us-east-1]"))
    monkeypatch.setattr("sys.stdin", given)

    assert backend_config.read("-", []) == {"regions": ["us-east-1"]}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (f"secret_key: {SECRET}\n- x".encode(), "is no YAML or JSON that can be read"),
        (f"secret_key: '{SECRET}".encode(), "is no YAML or JSON that can be read"),
        (f"{SECRET}: 1\n{SECRET}: 2".encode(), "is no YAML or JSON that can be read"),
        (f"!!python/object/apply:os.system ['{SECRET}']".encode(), "is no YAML or JSON"),
        (SECRET.encode(), "must have keys and values"),
        (b"[1, 2]", "must have keys and values"),
        (b"", "must have keys and values"),
        (b"\xff\xfe\x00", "is no YAML or JSON"),
        (b"a: \0", "is no YAML or JSON"),
        (b"a: &a [x]\nb: [*a, *a]\n" + b"#" * 2**20, "is larger than 1 MB"),
        (b"{" * 10_000, "is no YAML or JSON"),
    ],
)
def test_says_what_is_wrong_with_a_file_and_repeats_none_of_it(
    tmp_path: Path, data: bytes, said: str
) -> None:
    file = tmp_path / "aws.yml"
    file.write_bytes(data)

    with pytest.raises(CliError) as refused:
        backend_config.read(str(file), [])

    assert said in refused.value.message
    assert SECRET not in refused.value.message


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        ("regions", "--set takes KEY=VALUE"),
        (SECRET, "--set takes KEY=VALUE"),
        (f"={SECRET}", "--set takes KEY=VALUE"),
        (f"a=[{SECRET}", "The value of --set a is no YAML"),
        (f"a={{{SECRET}", "The value of --set a is no YAML"),
    ],
)
def test_says_what_is_wrong_with_a_pair_and_shows_no_value(pair: str, said: str) -> None:
    with pytest.raises(CliError) as refused:
        backend_config.read(None, [pair])

    assert said in refused.value.message
    assert SECRET not in refused.value.message


def test_a_value_has_no_keys_below_it() -> None:
    with pytest.raises(CliError, match=r"creds\.type\.x: type has no keys"):
        backend_config.read(None, ["creds.type=x", "creds.type.x=y"])


@pytest.mark.parametrize("file", ["/nope", "/", "a\0b", "x" * 5000])
def test_says_that_a_file_cannot_be_read(file: str) -> None:
    with pytest.raises(CliError, match="cannot be read"):
        backend_config.read(file, [])
