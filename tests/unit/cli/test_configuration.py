from __future__ import annotations

from pathlib import Path

import pytest

from apps.cli.errors import CliError
from apps.cli.publish.configuration import chosen_profile, passed_values, read_configuration

TEXT = "type: service\nenv:\n  - TOKEN\n  - MODEL=m\n  - OTHER\n"
PROFILES = """profiles:
  - name: cheap
    max_price: 0.5
    spot_policy: spot
  - name: usual
    default: true
    backends: [aws]
"""


def test_reads_the_usual_file_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / ".dstack.yaml").write_text("b")
    (tmp_path / ".dstack.yml").write_text("a")

    assert read_configuration(tmp_path, None).text == "a"


def test_reads_the_other_ending_too(tmp_path: Path) -> None:
    (tmp_path / ".dstack.yaml").write_text("b")

    assert read_configuration(tmp_path, None).text == "b"


def test_asks_for_a_file_when_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="name the service's file with -f"):
        read_configuration(tmp_path, None)


SERVICE = "# a comment\ntype: service\n"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "name the service's file with -f FILE"),
        ({"compose.yml": "services: {}\n"}, "name the service's file with -f FILE"),
        ({"bad.dstack.yml": "x", "other.yml": SERVICE}, "use -f {}/bad.dstack.yml"),
        ({"bad.dstack.yaml": "x"}, "use -f {}/bad.dstack.yaml"),
        ({"serve.yml": SERVICE, "compose.yml": "a: b\n"}, "use -f {}/serve.yml"),
        ({"my app.dstack.yml": "x"}, "use -f '{}/my app.dstack.yml'"),
        (
            {"b.dstack.yml": "x", "a.dstack.yml": "x"},
            "it has a.dstack.yml, b.dstack.yml; use one of them, such as -f {}/a.dstack.yml",
        ),
        (
            {f"{n}.dstack.yml": "x" for n in range(7)},
            "it has 0.dstack.yml, 1.dstack.yml, 2.dstack.yml, 3.dstack.yml, 4.dstack.yml, ...; "
            "use one of them, such as -f {}/0.dstack.yml",
        ),
    ],
)
def test_names_the_files_that_are_there(tmp_path: Path, files: dict[str, str], said: str) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)

    with pytest.raises(CliError) as caught:
        read_configuration(tmp_path, None)

    assert caught.value.message == (
        f"There is no .dstack.yml in {tmp_path}: {said.format(tmp_path)}."
    )


def test_names_the_files_that_are_there_beside_a_wrong_name(tmp_path: Path) -> None:
    (tmp_path / "serve.dstack.yml").write_text("x")

    with pytest.raises(CliError, match=r"directory: use -f .*/serve\.dstack\.yml\.$"):
        read_configuration(tmp_path, str(tmp_path / "srve.dstack.yml"))


def test_warns_of_another_ending(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.yml").write_text("a")

    assert read_configuration(tmp_path, str(tmp_path / "x.yml")).text == "a"
    assert "x.yml does not end in .dstack.yml" in capsys.readouterr().err


@pytest.mark.parametrize("file", ["none.dstack.yml", "/", "", "a\0b", "x" * 300])
def test_says_that_a_file_cannot_be_read(tmp_path: Path, file: str) -> None:
    with pytest.raises(CliError, match="cannot be read"):
        read_configuration(tmp_path, file)


def test_points_to_the_file_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "only-here.dstack.yml").write_text("a")

    with pytest.raises(CliError, match=r"did you mean -f .*/only-here\.dstack\.yml\?"):
        read_configuration(tmp_path, "only-here.dstack.yml")


@pytest.mark.parametrize("data", [b"\xff\xfe", b"a" * 1_100_000])
def test_refuses_what_is_no_configuration(tmp_path: Path, data: bytes) -> None:
    (tmp_path / ".dstack.yml").write_bytes(data)

    with pytest.raises(CliError, match=r"\.dstack\.yml: "):
        read_configuration(tmp_path, None)


@pytest.mark.parametrize(
    ("given", "environ", "values"),
    [
        (["TOKEN=a", "OTHER=b"], {}, {"TOKEN": "a", "OTHER": "b"}),
        ([], {"TOKEN": "a", "OTHER": ""}, {"TOKEN": "a", "OTHER": ""}),
        (["TOKEN=a"], {"TOKEN": "no", "OTHER": "b"}, {"TOKEN": "a", "OTHER": "b"}),
        (
            ["TOKEN=a=b; rm -rf /", "OTHER=", "NEW"],
            {"NEW": "n"},
            {"TOKEN": "a=b; rm -rf /", "OTHER": "", "NEW": "n"},
        ),
        (["TOKEN=1", "OTHER=1", "MODEL=x"], {}, {"TOKEN": "1", "OTHER": "1", "MODEL": "x"}),
        (["TOKEN=1", "TOKEN=2", "OTHER=é"], {}, {"TOKEN": "2", "OTHER": "é"}),
    ],
)
def test_collects_the_values_that_the_file_lacks(
    given: list[str], environ: dict[str, str], values: dict[str, str]
) -> None:
    assert passed_values(TEXT, given, environ=environ) == values


def test_names_all_values_that_are_missing() -> None:
    with pytest.raises(CliError, match="No value for NEW, TOKEN, OTHER: pass -e NEW=VALUE"):
        passed_values(TEXT, ["NEW"], environ={})


@pytest.mark.parametrize("flag", ["", "=x", "1A=x", "A B=x", "A-B", "é=x", "A\n=x", "$(id)=1"])
def test_refuses_what_is_no_name_of_a_variable(flag: str) -> None:
    with pytest.raises(CliError, match="neither NAME=value nor NAME"):
        passed_values(TEXT, [flag], environ={})


@pytest.mark.parametrize("text", ["", "[", "env: 5", "env: {A: b}", "env: [5, {a: b}, 'a b']"])
def test_leaves_a_wrong_file_to_the_server(text: str) -> None:
    assert passed_values(text, [], environ={}) == {}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app" / ".dstack").mkdir(parents=True)
    (tmp_path / "app" / ".dstack" / "profiles.yml").write_text(PROFILES)
    return tmp_path / "app"


@pytest.mark.parametrize(
    ("name", "profile"),
    [("cheap", {"max_price": 0.5, "spot_policy": "spot"}), (None, {"backends": ["aws"]})],
)
def test_takes_the_named_profile_or_the_default_one(
    folder: Path, name: str | None, profile: dict[str, object]
) -> None:
    assert chosen_profile(folder, name, home=None) == profile


def test_falls_back_to_the_profiles_of_the_home_folder(folder: Path, tmp_path: Path) -> None:
    (tmp_path / ".dstack").mkdir()
    (tmp_path / ".dstack" / "profiles.yaml").write_text("profiles: [{name: mine, regions: [x]}]")

    assert chosen_profile(folder, "mine", home=tmp_path) == {"regions": ["x"]}


def test_names_the_profiles_that_there_are(folder: Path) -> None:
    with pytest.raises(CliError, match=r"no profile 'none': there is cheap, usual"):
        chosen_profile(folder, "none", home=None)


def test_needs_no_profiles(tmp_path: Path) -> None:
    assert chosen_profile(tmp_path, None, home=tmp_path) == {}


def test_places_what_is_wrong_in_a_profile(folder: Path) -> None:
    (folder / ".dstack" / "profiles.yml").write_text("profiles:\n  - name: a\n    max_price: -1\n")

    with pytest.raises(CliError, match="not valid") as caught:
        chosen_profile(folder, None, home=None)
    assert "profiles.yml:3:" in caught.value.notes[0]
