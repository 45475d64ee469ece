"""What GPUs are called, and how much memory they are sold with. Pure.

A driver says `NVIDIA H100 80GB HBM3` and 81,559 MiB, a cloud `H100` and 81,920, a person `h100`;
all of them mean an H100 with 80 GB. Names are those of the offers' catalogs: the maker, the line
(Tesla, Quadro, GeForce), the socket and the memory are no part of a name.

A card that is not in the table gets its name by the same rule, and the marketed size that its
memory fits into: drivers keep up to 8 % for themselves and for error correction.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

MIB_PER_GB = 1024
# Canonical names, each with the sizes in GB that the card is sold with.
TABLE = """
# data center
B300 270, GB300 270, B200 180, GB200 186, B100 180, H200 141, H200NVL 141, GH200 96 144
H100 64 80, H100NVL 94, H800 80, H20 96 141, A100 40 64 80, A100X 80, A800 40 80, A40 48
A30 24, A30X 24, A16 16, A10 24, A10G 24, A10M 24, A2 16, L40S 48, L40 48, L20 48, L4 24
L2 24, T4 16, T4G 16, V100 16 32, V100S 32, P100 12 16, P40 24, P4 8, M60 8, M40 12 24
K80 12
# workstation
RTXPRO6000 96, RTXPRO5000 48 72, RTXPRO4500 32, RTXPRO4000 24, RTXPRO2000 16, RTX6000Ada 48
RTX5880Ada 48, RTX5000Ada 32, RTX4500Ada 24, RTX4000Ada 20, RTX4000SFFAda 20, RTX2000Ada 16
A6000 48, A5500 24, A5000 24, A4500 20, A4000 16, A2000 6 12, RTX8000 48, RTX6000 24
RTX5000 16, RTX4000 8, GV100 32, GP100 16, P6000 24, P5000 16, P4000 8
# consumer
RTX5090 32, RTX5090D 24 32, RTX5080 16, RTX5070Ti 16, RTX5070 12, RTX5060Ti 8 16, RTX5060 8
RTX5050 8, RTX4090 24, RTX4090D 24, RTX4080SUPER 16, RTX4080 16, RTX4070TiSUPER 16
RTX4070Ti 12, RTX4070SUPER 12, RTX4070 12, RTX4060Ti 8 16, RTX4060 8, RTX3090Ti 24
RTX3090 24, RTX3080Ti 12, RTX3080 10 12, RTX3070Ti 8, RTX3070 8, RTX3060Ti 8, RTX3060 8 12
RTX3050 4 6 8, RTX2080Ti 11, RTX2080SUPER 8, RTX2080 8, RTX2070SUPER 8, RTX2070 8
RTX2060SUPER 8, RTX2060 6 12, GTX1660Ti 6, GTX1660SUPER 6, GTX1080Ti 11, GTX1080 8
GTX1070 8, GTX1060 3 6, TITANRTX 24, TITANV 12 32, TITANXp 12
# memory shared with the processor
GB10 128, Thor 64 128, Orin 4 8 16 32 64, Xavier 8 16 32 64
"""
SIZES: Mapping[str, tuple[int, ...]] = {
    name: tuple(map(int, sizes))
    for line in TABLE.splitlines()
    if line and not line.startswith("#")
    for name, *sizes in [entry.split() for entry in line.split(",")]
}
UNIFIED = frozenset({"GB10", "Thor", "Orin", "Xavier"})
# Who asks for the second takes the first as well.
FAMILIES = {"H100NVL": "H100", "H200NVL": "H200", "RTX4000SFFAda": "RTX4000Ada"}
# Other names of the same card, as `_key` has them.
ALIASES = {
    **{f"rtxa{number}": f"A{number}" for number in (2000, 4000, 4500, 5000, 5500, 6000)},
    **{f"rtxa{number}ada": f"RTX{number}Ada" for number in (2000, 4000, 4500, 5000, 6000)},
    **{f"a{number}ada": f"RTX{number}Ada" for number in (2000, 4000, 4500, 5000, 6000)},
    **dict.fromkeys(("agxorin", "jetsonorin", "jetsonagxorin", "orinnano", "orinnx"), "Orin"),
    **dict.fromkeys(("agxthor", "jetsonthor", "jetsonagxthor"), "Thor"),
    "a100d": "A100",
    "h203e": "H20",
    "dgxspark": "GB10",
    "rtxpro6000maxq": "RTXPRO6000",
}
MARKETED_GB = (
    *(1, 2, 3, 4, 5, 6, 8, 10, 11, 12, 16, 20, 24, 32, 40, 48, 64, 72, 80, 94, 96, 128, 141, 144),
    *(180, 186, 192, 256, 270, 288),
)
# What a driver may say of a card, as a share of the size that it is sold with. Where the sizes are
# known nothing else is near.
LEAST_OF_KNOWN, LEAST, MOST = 0.88, 0.92, 1.01

_PARENTHESES = re.compile(r"\([^)]*\)")
_VGPU = re.compile(r"-\d+[QCAB]\b")
_APART = re.compile(r"[\s\-_/+.]+")
_SIZE = re.compile(r"(\d{1,3})GB?", re.IGNORECASE)
# What is no part of a name: maker, line, socket, kind of memory, cooling.
_NOISE = re.compile(
    r"""nvidia|corporation|tesla|quadro|geforce|grid|gpu|graphics|generation|with|design
    |blackwell|server|workstation|edition|active|dgxs|fhhl|lhr|ac|ls
    |sxm\d?|smx\d?|pcie|oam|hbm\d?e?|gddr\d\w?|\d{1,3}gb?""",
    re.IGNORECASE | re.VERBOSE,
)
_NOISE_BEHIND = re.compile(r"(?:generation|sxm\d?|pcie|oam|hbm\d?e?|\d{1,3}gb)+")


@dataclass(frozen=True)
class Card:
    """A GPU by its canonical name; `memory_gb` where the text named one of its sizes."""

    name: str
    memory_gb: int | None = None

    @property
    def is_unified(self) -> bool:
        return self.name in UNIFIED


def card(text: str) -> Card:
    """Return the card that a driver, a cloud or a person calls so."""
    words = _APART.split(_VGPU.sub("", _PARENTHESES.sub("", text)).strip())
    telling = [word for word in words if word and not _NOISE.fullmatch(word)]
    own = "".join(telling) or "".join(words) or text
    name = _known(own) or _first_known(telling) or own
    sizes = [int(size[1]) for word in words if (size := _SIZE.fullmatch(word))]
    fitting = [size for size in sizes if size in SIZES.get(name, sizes)]
    return Card(name, fitting[0] if fitting else None)


def family(name: str) -> frozenset[str]:
    """Return a card's name and those of the cards that who asks for it takes as well."""
    key = _key(name)
    return frozenset({name, *(other for other, first in FAMILIES.items() if _key(first) == key)})


def is_wanted(wish: str, *, name: str, memory_mib: int) -> bool:
    """Tell whether a person who writes `wish` means GPUs of that canonical name and memory."""
    wanted, has = card(wish), card(name).name
    names = {_key(has), _key(FAMILIES.get(has, has))}
    size = wanted.memory_gb
    return _key(wanted.name) in names and (size is None or size * MIB_PER_GB == memory_mib)


def nominal_mib(name: str, measured_mib: int) -> int:
    """Return the memory that a card is sold with, of what its driver says."""
    sizes = SIZES.get(name, ())
    measured_gb = measured_mib / MIB_PER_GB
    if name in UNIFIED:
        # The system keeps more for itself than a driver does.
        return min((s for s in sizes if s >= measured_gb), default=sizes[-1]) * MIB_PER_GB
    own = [s for s in sizes if LEAST_OF_KNOWN * s <= measured_gb <= MOST * s]
    fitting = own or [s for s in MARKETED_GB if LEAST * s <= measured_gb <= MOST * s]
    if fitting:
        return min(fitting, key=lambda size: abs(size - measured_gb)) * MIB_PER_GB
    return -(-measured_mib // MIB_PER_GB) * MIB_PER_GB


def _key(name: str) -> str:
    return _APART.sub("", name).lower()


_BY_KEY = {**{_key(name): name for name in SIZES}, **ALIASES}


def _known(text: str) -> str | None:
    """The canonical name; what is written as one word (`h100sxm5`, `4090`) is found too."""
    key = _key(text)
    for spelled in (key, f"rtx{key}", f"gtx{key}"):
        if spelled in _BY_KEY:
            return _BY_KEY[spelled]
    begins = [known for known in _BY_KEY if key.startswith(known)]
    bare = [known for known in begins if _NOISE_BEHIND.fullmatch(key.removeprefix(known))]
    return _BY_KEY[max(bare, key=len)] if bare else None


def _first_known(words: list[str]) -> str | None:
    """A data center's card with words behind it that say nothing to us (`A100 PG509 200`)."""
    return _BY_KEY.get(_key(words[0])) if len(words) > 1 and words[0][-1:].isdigit() else None
