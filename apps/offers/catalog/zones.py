"""Names of zones: the catalog keeps what comes behind the name of the region. Pure."""

from __future__ import annotations

# AWS writes `us-east-1a`, the others a dash between: `us-central1-a`, `westus2-1`.
WITHOUT_DASH = ("aws",)


def full(kind: str, region: str, short: str) -> str:
    """Return a zone's full name: `us-east-1a` of `a`."""
    return f"{region}{'' if kind in WITHOUT_DASH else '-'}{short}"


def split(kind: str, name: str) -> tuple[str, str]:
    """Return the region and what comes behind it: `us-east-1`, `a`; "" where it is no zone."""
    if kind in WITHOUT_DASH:
        return (name[:-1], name[-1]) if name[-1:].isalpha() else ("", "")
    region, _, behind = name.rpartition("-")
    return region, behind


def short(kind: str, region: str, name: str) -> str | None:
    """Return what a full name has behind its region's, None for a zone of another region."""
    begins = full(kind, region, "")
    behind = name.removeprefix(begins)
    return behind if name.startswith(begins) and behind else None
