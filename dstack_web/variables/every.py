"""The list itself, in the groups in which people look for a variable."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from dstack_web.variables import data, internal, machines, serving
from dstack_web.variables.variable import Variable

PUBLIC: Mapping[str, tuple[Variable, ...]] = MappingProxyType(
    {
        "Where the server listens": serving.ADDRESSES,
        "The gateway": serving.GATEWAY_ROWS,
        "Data and keys": data.KEEPING,
        "Limits": data.LIMITS,
        "How long it is kept": data.RETENTION,
        "Services on this machine": machines.MACHINE,
        "The command line": machines.COMMAND_LINE,
        "Finding faults": machines.DEVELOPMENT,
    }
)
INTERNAL = internal.BETWEEN_PARTS
FOR_SERVICES = internal.FOR_SERVICES

ALL = (*(row for rows in PUBLIC.values() for row in rows), *INTERNAL)
BY_NAME: Mapping[str, Variable] = MappingProxyType({row.name: row for row in ALL})
