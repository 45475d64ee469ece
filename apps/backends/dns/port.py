"""Records of the DNS, as every kind of backend that manages them has them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence


class ManagesDns(ABC):
    """All of it may be called again after any answer, or none, and raises ProviderError and nothing
    else. Only the records that are named are looked at or changed."""

    @abstractmethod
    def dns_zone(self, domain: str) -> str:
        """Return the reference of the public zone in which names of the domain are, "" where the
        account has none."""

    @abstractmethod
    def dns_values(self, zone: str, name: str, kind: str) -> list[str]:
        """Return what a record holds now, nothing where there is none."""

    @abstractmethod
    def set_dns(self, zone: str, name: str, kind: str, values: Sequence[str]) -> str:
        """Have a record hold these values and no others, be gone where there are none; return the
        reference of the change, "" where nothing changed."""

    @abstractmethod
    def is_dns_spread(self, change: str) -> bool:
        """Tell whether a change is seen by whoever asks."""
