"""Whose rows of the catalog are looked at: those of a connected backend, or of clouds that are not.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from apps.offers.blocks import Block


@dataclass(frozen=True)
class Supply:
    """Rows of `kinds` in `regions` (in all where there are none), less what `blocks` keep away at
    the time `at`. `backend` and its id are of the backend that is connected; `families` are its
    provider's. `base_image` is what a service without an `image` would run in, None where no
    service is meant, as in a list of offers, and `gpu_base_image` what it gets instead where
    `executors.container_image` says so."""

    kinds: tuple[str, ...]
    backend: str = ""
    backend_id: int | None = None
    regions: tuple[str, ...] = ()
    blocks: tuple[Block, ...] = ()
    at: datetime | None = None
    families: Mapping[str, str] = field(default_factory=dict)
    base_image: str | None = None
    gpu_base_image: str = ""

    @property
    def whole(self) -> Supply:
        """The same with what is blocked."""
        return replace(self, blocks=())
