"""Records of Route 53: only those that are named are looked at, and others' values stay."""

from __future__ import annotations

from typing import Any

from tests.fakes.aws_cloud import Emulator
from tests.integration.backends.aws.machines import provider


def zone(of: Any, name: str, *, private: bool = False) -> str:
    more = {"VPC": {"VPCRegion": "us-east-1", "VPCId": "vpc-1"}} if private else {}
    made = of._route53.create_hosted_zone(
        Name=name,
        CallerReference=f"{name}{private}",
        HostedZoneConfig={"PrivateZone": private, "Comment": ""},
        **more,
    )
    return str(made["HostedZone"]["Id"]).rpartition("/")[2]


def test_the_nearest_public_zone_has_the_names_of_a_domain(aws: Emulator) -> None:
    made = provider()
    assert made.dns_zone("edge.example.com") == ""
    whole, near = zone(made, "example.com"), zone(made, "edge.example.com")
    zone(made, "deep.edge.example.com", private=True)

    found = [made.dns_zone(name) for name in ("deep.edge.example.com", "edge.example.com")]
    assert found == [near, near]
    assert [made.dns_zone(name) for name in ("example.com", "x.example.com")] == [whole, whole]
    assert made.dns_zone("myexample.com") == ""


def test_records_are_set_read_and_taken_away_again_and_again(aws: Emulator) -> None:
    made = provider()
    there = zone(made, "example.com")
    for name, kind, values in (
        ("*.example.com", "A", ["203.0.113.7"]),
        ("example.com", "A", ["203.0.113.7"]),
        ("_acme-challenge.example.com", "TXT", ["a" * 43, "b" * 43]),
    ):
        assert made.dns_values(there, name, kind) == []
        for _ in range(2):
            assert made.is_dns_spread(made.set_dns(there, name, kind, values))
        assert sorted(made.dns_values(there, name, kind)) == values
        assert made.set_dns(there, name, kind, [])
        assert made.set_dns(there, name, kind, []) == ""
        assert made.dns_values(there, name, kind) == []
    assert made.is_dns_spread("C0000000000000000000")
