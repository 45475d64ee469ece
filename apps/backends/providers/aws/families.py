"""Which instances share a quota of vCPUs: https://docs.aws.amazon.com/ec2/latest/instancetypes/
ec2-instance-quotas.html. The letters before the first digit tell it. Pure."""

from __future__ import annotations

from collections.abc import Mapping

FAMILIES: Mapping[str, str] = {
    "Standard": r"^(a|c|d|h|i|im|is|m|r|t|z)[0-9]",
    "G and VT": r"^(g|gr|vt)[0-9]",
    "P": r"^p[0-9]",
    "X": r"^x[0-9]",
    "F": r"^f[0-9]",
    "Inf": r"^inf[0-9]",
    "Trn": r"^trn[0-9]",
    "DL": r"^dl[0-9]",
    "HPC": r"^hpc[0-9]",
    "High Memory": r"^u-?[0-9]",
}
