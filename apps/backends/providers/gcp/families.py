"""Which machines share a quota: https://cloud.google.com/compute/resource-usage. Pure.

Those with GPUs are counted by their GPUs, all others by their CPUs, mostly for each series alone.
"""

from __future__ import annotations

from collections.abc import Mapping

SERIES = (
    *("a2-ultragpu", "a2", "a3-ultragpu", "a3-megagpu", "a3", "a4x", "a4", "g2", "g4"),
    *("n2d", "n2", "n4d", "n4a", "n4", "c2d", "c2", "c3d", "c3", "c4a", "c4d", "c4"),
    *("h3", "h4d", "m1", "m2", "m3", "m4", "t2d", "t2a", "x4", "z3"),
)
FAMILIES: Mapping[str, str] = {
    **{
        f"n1 with {card.upper()}": f"^n1-.+-{card}x[0-9]+$" for card in ("t4", "p4", "v100", "p100")
    },
    "e2 and n1": "^(e2|n1|f1|g1)-",
    **{series: f"^{series}-" for series in SERIES},
}
