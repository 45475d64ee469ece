"""What `nvidia-smi` says of a machine's GPUs, on this host or on another one. Pure.

A GPU that cannot be used is left out and told: nobody should wonder where it is.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass

from apps.backends import cards
from apps.backends.base import Gpu

FIELDS = ("index", "name", "memory.total", "mig.mode.current", "compute_cap")
# Older drivers refuse a whole query for one field that they do not know.
FEWEST_FIELDS = 3
UNKNOWN_FIELD = "is not a valid field"
LONGEST_REMARK = 200
_NUMBER = re.compile(r"\d+")
_ERRORS = ("err!", "unknown error", "gpu is lost", "gpu requires reset")
_NOTHING = ("", "n/a", "not supported", "not available", "insufficient permissions")


@dataclass(frozen=True)
class Found:
    """The GPUs of a machine, one entry for each kind, and why others are left out."""

    kinds: tuple[Gpu, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """One GPU as it was said; None is what it does not say."""

    index: int
    name: str
    memory_mib: int | None
    is_mig: bool = False
    compute_capability: tuple[int, int] | None = None


def arguments(fields: int = len(FIELDS)) -> list[str]:
    """Return what to call the program with, asking for so many of the fields."""
    return [f"--query-gpu={','.join(FIELDS[:fields])}", "--format=csv,noheader,nounits"]


def read(text: str, *, host_memory_mib: int) -> Found:
    """Return the GPUs of the program's answer, whatever else it wrote."""
    rows: dict[int, Row] = {}
    problems: list[str] = []
    remarks: list[str] = []
    for line in text.splitlines():
        fields = [field.strip() for field in next(csv.reader([line]), [])]
        if not fields or not fields[0].isdecimal():
            remarks += [line.strip()] if line.strip() else []
            continue
        row, problem = _row(fields)
        if row is not None:
            rows.setdefault(row.index, row)
        problems += [problem] if problem else []
    if not rows and not problems and remarks:
        problems.append(f"nvidia-smi says: {remarks[0][:LONGEST_REMARK].rstrip('.')}")
    return Found(_kinds(list(rows.values()), host_memory_mib), tuple(problems))


def _row(fields: Sequence[str]) -> tuple[Row | None, str]:
    """A GPU that can be used, or why it cannot."""
    which = f"GPU {fields[0]}"
    if len(fields) < FEWEST_FIELDS:
        return None, f"nvidia-smi cuts the line of {which} short"
    index, name, memory, mig, capability = [*fields, "", ""][: len(FIELDS)]
    words = f"{_bare(name)} {_bare(memory)}"
    if _is_nothing(name) or any(error in words for error in _ERRORS):
        return None, f"{which} does not work: nvidia-smi says {name!r}, memory {memory!r}"
    if _bare(mig) == "enabled":
        why = "is in MIG mode, which is not supported: turn it off with"
        return None, f"{which} ({cards.card(name).name}) {why} `nvidia-smi -i {index} -mig 0`"
    number = _NUMBER.search(memory)
    size = int(number[0]) if number else None
    return Row(int(index), name, size or None, False, _capability(capability)), ""


def _bare(field: str) -> str:
    return field.strip("[] ").lower()


def _is_nothing(field: str) -> bool:
    return _bare(field) in _NOTHING


def _capability(text: str) -> tuple[int, int] | None:
    major, _, minor = text.partition(".")
    return (int(major), int(minor)) if major.isdecimal() and minor.isdecimal() else None


def _kinds(rows: Sequence[Row], host_memory_mib: int) -> tuple[Gpu, ...]:
    kinds: dict[tuple[str, int], list[Row]] = {}
    for row in sorted(rows, key=lambda row: row.index):
        card = cards.card(row.name)
        nominal = _nominal_mib(card, row, host_memory_mib)
        kinds.setdefault((card.name, nominal), []).append(row)
    return tuple(
        Gpu(
            name,
            memory_mib,
            len(same),
            indices=tuple(row.index for row in same),
            measured_mib=min((row.memory_mib for row in same if row.memory_mib), default=None),
            compute_capability=same[0].compute_capability,
        )
        for (name, memory_mib), same in kinds.items()
    )


def _nominal_mib(card: cards.Card, row: Row, host_memory_mib: int) -> int:
    """A GPU that says no memory of its own shares that of its machine, unless it is a card of
    which we know better."""
    if row.memory_mib and not card.is_unified:
        return cards.nominal_mib(card.name, row.memory_mib)
    sizes = cards.SIZES.get(card.name, ())
    if sizes and not card.is_unified:
        return (card.memory_gb or sizes[0]) * cards.MIB_PER_GB
    return cards.nominal_mib(card.name, host_memory_mib)
