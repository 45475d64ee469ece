"""The fake cloud as one whose offers are those of AWS in the catalog."""

from __future__ import annotations

from apps.backends import base
from apps.backends.providers.aws.families import FAMILIES
from tests.fakes.cloud import Cloud, CloudConfig


class RentedConfig(CloudConfig):
    regions: tuple[str, ...] = ()


class Rented(Cloud):
    kind = "aws"
    Config = RentedConfig
    families = FAMILIES
    config: RentedConfig

    def in_catalog(self) -> tuple[str, ...]:
        return self.config.regions

    def offers(self) -> list[base.Offer]:
        return []
