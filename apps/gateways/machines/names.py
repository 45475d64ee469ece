"""Names and domains of gateways, as people write them. Pure."""

from __future__ import annotations

import re

from apps.core.errors import Detail, Invalid

NAME = re.compile(r"[a-z]([a-z0-9-]{0,40}[a-z0-9])?")
LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
# Room for the name of a service before it: a host name has 253 characters at most.
LONGEST_DOMAIN = 180


def checked_name(text: str) -> str:
    """Return the name. Raise Invalid."""
    if not NAME.fullmatch(text):
        raise Invalid(
            f"{text[:50]!r} is no name of a gateway: take lower-case letters, digits and dashes, a "
            "letter first, 42 at most.",
            details=[Detail("name", "is no name of a gateway")],
        )
    return text


def checked_domain(text: str) -> str:
    """Return the domain in lower case and without what people write around it. Raise Invalid."""
    domain = text.strip().lower().removeprefix("*.").rstrip(".")
    labels = domain.split(".")
    is_name = len(labels) > 1 and all(LABEL.fullmatch(label) for label in labels)
    if not is_name or labels[-1].isdigit() or len(domain) > LONGEST_DOMAIN:
        raise Invalid(
            f"{text[:60]!r} is no domain that services could be names of: write it as example.com.",
            details=[Detail("domain", "is no domain")],
        )
    return domain


def fresh(backend: str, region: str, taken: set[str]) -> str:
    """Return a name that nobody has: that of the place, with a number where it is taken."""
    base = re.sub(r"[^a-z0-9]+", "-", f"{backend}-{region}".lower()).strip("-")[:36] or "gateway"
    base = base if base[0].isalpha() else f"gateway-{base}"[:36]
    base = base.rstrip("-")
    names = (base, *(f"{base}-{number}" for number in range(2, len(taken) + 3)))
    return next(name for name in names if name not in taken)
