"""A value of the environment is read as its row of the list says, or refused by one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from dstack_web.variables import tables
from dstack_web.variables.every import ALL, BY_NAME, FOR_SERVICES
from dstack_web.variables.values import Values, check
from dstack_web.variables.variable import BadVariable, Kind
from tests.integration.gateway.authorities import Ca

WHOLE = [row.name for row in ALL if row.kind is Kind.WHOLE]
NUMBERS = [row.name for row in ALL if row.kind is Kind.NUMBER]


@pytest.mark.parametrize("row", ALL, ids=lambda row: row.name)
def test_empty_and_absent_are_the_default(row: object) -> None:
    check({})
    check({getattr(row, "name", ""): ""})


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize(
    "text", ["many", "-1", "1e3", "0x10", "1_000", "1.5", " ", "٣", "３０００", "9" * 5000, "../x"]
)
def test_refuses_what_is_no_whole_number(name: str, text: str) -> None:
    with pytest.raises(BadVariable) as refused:
        check({name: text})

    said = str(refused.value)
    assert said.startswith(f"{name} must be a number from ")
    assert text[:40] in said
    assert len(said) < 160


@pytest.mark.parametrize("name", WHOLE)
def test_takes_a_whole_number_within_its_bounds_alone(name: str) -> None:
    row = BY_NAME[name]

    assert Values({name: str(row.least)}).whole(name) == row.least
    assert Values({name: f" {row.most} "}).whole(name) == row.most
    for beyond in (row.least - 1, row.most + 1):
        with pytest.raises(BadVariable, match=f"from {row.least} to {row.most}, not '{beyond}'"):
            check({name: str(beyond)})


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), (" 10m ", 600), ("2H", 7200), ("1d", 86400), ("", 600)],
)
def test_reads_a_duration(text: str, seconds: int) -> None:
    assert Values({"DSTACK_BOOT_DEADLINE": text}).seconds("DSTACK_BOOT_DEADLINE") == seconds


def test_of_an_authoritys_file_only_certificates_are_handed_out(tmp_path: Path) -> None:
    made, file = Ca().sign("dstack.example"), tmp_path / "ca.pem"
    file.write_text(f"Subject: ours\n{made.key}{made.chain}")

    found = Values({"DSTACK_AGENT_CA": str(file)}).authority("DSTACK_AGENT_CA")

    assert found == made.chain
    assert Values({}).authority("DSTACK_AGENT_CA") == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read"),
        ("", "holds no certificate"),
        ("\u00fc", "cannot be read"),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "no certificate that can",
        ),
        ("key", "holds no certificate"),
        ("many", "longer than 5000 bytes"),
    ],
)
def test_refuses_an_authority_that_no_machine_could_use(
    tmp_path: Path, text: str | None, said: str
) -> None:
    file = tmp_path / "ca.pem"
    made = {"key": lambda: Ca().sign("a.example").key, "many": lambda: Ca().text * 20}
    if text is not None:
        file.write_text(made[text]() if text in made else text)

    with pytest.raises(BadVariable, match=f"^DSTACK_AGENT_CA: .*{said}"):
        check({"DSTACK_AGENT_CA": str(file)})


@pytest.mark.parametrize("text", ["soon", "-1", "0", "1.5m", "2d", "5w", "٣m", "9" * 400, "m", " "])
def test_refuses_what_is_no_duration(text: str) -> None:
    with pytest.raises(BadVariable) as refused:
        check({"DSTACK_BOOT_DEADLINE": text})

    wanted = "DSTACK_BOOT_DEADLINE must be a duration such as 90s, 10m or 2h, from 1 to 86400 s"
    assert str(refused.value).startswith(f"{wanted}, not ")


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("text", ["much", "-1", "nan", "inf", "1e9", "٣", "9" * 400, "1,5"])
def test_refuses_what_is_no_number(name: str, text: str) -> None:
    with pytest.raises(BadVariable, match=f"^{name} must be a number from 0 to "):
        check({name: text})


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("DSTACK_DEBUG", "maybe", "DSTACK_DEBUG must be 1 (on) or 0 (off), not 'maybe'"),
        ("DSTACK_DEBUG", "ja" * 400, f"DSTACK_DEBUG must be 1 (on) or 0 (off), not '{'ja' * 20}'"),
        ("DSTACK_BEHIND_FRONT", "2", "DSTACK_BEHIND_FRONT must be 1 (on) or 0 (off), not '2'"),
        (
            "DSTACK_LOG_LEVEL",
            "loud",
            "DSTACK_LOG_LEVEL must be DEBUG, INFO, WARNING, ERROR or CRITICAL, not 'loud'",
        ),
        ("DSTACK_AGENT_NETWORK", "öwn", "DSTACK_AGENT_NETWORK must be own or host, not 'öwn'"),
        (
            "DSTACK_PUBLIC_URL",
            "example.org",
            "DSTACK_PUBLIC_URL must be an address like https://example.org, not 'example.org'",
        ),
        (
            "DSTACK_TRUSTED_PROXIES",
            "nobody",
            "DSTACK_TRUSTED_PROXIES: 'nobody' does not appear to be an IPv4 or IPv6 network: "
            "give addresses or networks",
        ),
    ],
)
def test_says_variable_value_and_what_is_right(name: str, text: str, sentence: str) -> None:
    with pytest.raises(BadVariable) as refused:
        check({name: text})

    assert str(refused.value) == sentence


@pytest.mark.parametrize(
    "text",
    [
        *("ftp://example.org", "http://", "//example.org", "http://a b", "http://a:0"),
        *("http://a:99999", "http://a:x", "http://[::1", "javascript:alert(1)", "http://a\n"),
    ],
)
def test_refuses_what_is_no_address(text: str) -> None:
    with pytest.raises(BadVariable, match="DSTACK_AGENT_URL must be an address like"):
        check({"DSTACK_AGENT_URL": text})


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", True), ("True", True), ("yes", True), ("ON", True), ("0", False), ("no", False)],
)
def test_takes_the_usual_words_of_a_switch(text: str, value: bool) -> None:
    assert Values({"DSTACK_DEBUG": text}).switch("DSTACK_DEBUG") is value


def test_reads_addresses_and_lists() -> None:
    values = Values(
        {
            "DSTACK_PUBLIC_URL": "https://bücher.example:8443/",
            "DSTACK_ALLOWED_HOSTS": " web, ,10.0.0.1 ",
            "DSTACK_TRUSTED_PROXIES": "10.0.0.1/8, ::1",
        }
    )

    assert values.url("DSTACK_PUBLIC_URL") == "https://bücher.example:8443"
    assert values.words("DSTACK_ALLOWED_HOSTS") == ["web", "10.0.0.1"]
    assert [str(net) for net in values.networks("DSTACK_TRUSTED_PROXIES")] == [
        "10.0.0.0/8",
        "::1/128",
    ]


def test_an_empty_base_image_is_none() -> None:
    assert Values({"DSTACK_BASE_IMAGE": ""}).text("DSTACK_BASE_IMAGE") == ""
    assert Values({}).text("DSTACK_BASE_IMAGE") == "dstack-web/base"


@pytest.mark.parametrize("row", [*ALL, *FOR_SERVICES], ids=lambda row: row.name)
def test_each_row_is_one_line_of_one_table(row: object) -> None:
    name, says = getattr(row, "name", ""), getattr(row, "says", "")
    lines = "\n".join((tables.public(), tables.internal(), tables.for_services())).splitlines()

    found = [line for line in lines if line.startswith(f"| `{name}` |") and says in line]

    assert len(found) == 1
    assert says.endswith(".")
    assert "|" not in says


def test_no_name_stands_twice() -> None:
    assert len(BY_NAME) == len(ALL)
