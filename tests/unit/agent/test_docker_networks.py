from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path

import pytest

from apps.agent.docker import networks


def nets(*texts: str) -> list[IPv4Network]:
    return [IPv4Network(text) for text in texts]


@pytest.mark.parametrize(
    ("taken", "expected"),
    [
        ([], "10.214.0.0/26"),
        (["10.214.0.0/26"], "10.214.0.64/26"),
        (["10.214.0.0/24", "10.214.1.0/28"], "10.214.1.64/26"),
        (["10.214.0.77/32"], "10.214.0.0/26"),
        (["10.214.0.3/32"], "10.214.0.64/26"),
        (["172.17.0.0/16", "192.168.1.0/24"], "10.214.0.0/26"),
        # A whole range lies behind a route, as of a private cloud.
        (["10.0.0.0/8"], "172.30.0.0/26"),
        (["10.0.0.0/8", "172.16.0.0/12"], "192.168.128.0/26"),
        (["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"], None),
        (["0.0.0.0/0"], None),
    ],
)
def test_takes_the_first_subnet_where_nothing_lies(taken: list[str], expected: str | None) -> None:
    found = networks.free(nets(*taken))

    assert found == (None if expected is None else IPv4Network(expected))


def test_has_thousands_of_networks() -> None:
    taken: list[IPv4Network] = []
    ranges = ("10.214.0.0/20", "172.30.0.0/24")
    while (found := networks.free(taken, ranges=ranges)) is not None:
        taken.append(found)

    assert len(taken) == 64 + 4
    assert len(set(taken)) == len(taken)
    assert sum(IPv4Network(each).num_addresses for each in networks.RANGES) // 64 > 3000


def test_reads_where_the_host_sends_packets_to(tmp_path: Path) -> None:
    table = tmp_path / "route"
    table.write_text(
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
        "eth0\t00000000\t0100A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "eth0\t0000A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
        "tun0\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0\n"
    )

    assert networks.routed(table) == nets("192.168.0.0/24", "10.0.0.0/8")
    assert networks.routed(tmp_path / "none") == []
