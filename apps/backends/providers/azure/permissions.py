"""Which actions the credentials need, and which of them they lack: Azure tells what they may."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from apps.backends.providers.azure.clients import PERMISSIONS_VERSION, Clients

ROLE = "dstack-web"
ANY_SUBSCRIPTION = "SUBSCRIPTION"
ASKED = "/providers/Microsoft.Authorization/permissions"
FOR_MACHINES = (
    "Microsoft.Compute/disks/delete",
    "Microsoft.Compute/disks/read",
    "Microsoft.Compute/disks/write",
    "Microsoft.Compute/locations/operations/read",
    "Microsoft.Compute/virtualMachines/delete",
    "Microsoft.Compute/virtualMachines/read",
    "Microsoft.Compute/virtualMachines/retrieveBootDiagnosticsData/action",
    "Microsoft.Compute/virtualMachines/write",
    "Microsoft.Network/networkInterfaces/delete",
    "Microsoft.Network/networkInterfaces/join/action",
    "Microsoft.Network/networkInterfaces/read",
    "Microsoft.Network/networkInterfaces/write",
    "Microsoft.Network/publicIPAddresses/delete",
    "Microsoft.Network/publicIPAddresses/join/action",
    "Microsoft.Network/publicIPAddresses/read",
    "Microsoft.Network/publicIPAddresses/write",
)
FOR_THE_NETWORK = (
    "Microsoft.Network/networkSecurityGroups/join/action",
    "Microsoft.Network/networkSecurityGroups/read",
    "Microsoft.Network/networkSecurityGroups/write",
    "Microsoft.Network/virtualNetworks/read",
    "Microsoft.Network/virtualNetworks/subnets/join/action",
    "Microsoft.Network/virtualNetworks/subnets/read",
    "Microsoft.Network/virtualNetworks/subnets/write",
    "Microsoft.Network/virtualNetworks/write",
    "Microsoft.Resources/subscriptions/resourceGroups/read",
    "Microsoft.Resources/subscriptions/resourceGroups/write",
)
FOR_CHECKS_AND_PRICES = (
    "Microsoft.Authorization/permissions/read",
    "Microsoft.Compute/locations/usages/read",
    "Microsoft.Compute/skus/read",
    "Microsoft.Resources/providers/read",
    "Microsoft.Resources/subscriptions/read",
)
ALL = tuple(sorted({*FOR_MACHINES, *FOR_THE_NETWORK, *FOR_CHECKS_AND_PRICES}))


def role(wanted: Iterable[str], subscription: str = ANY_SUBSCRIPTION) -> str:
    """Return a custom role, as `az role definition create --role-definition` reads it."""
    return json.dumps(
        {
            "Name": ROLE,
            "IsCustom": True,
            "Description": "Machines of dstack-web",
            "Actions": sorted(wanted),
            "NotActions": [],
            "AssignableScopes": [f"/subscriptions/{subscription}"],
        }
    )


MINIMAL_ROLE = role(ALL)


def missing(clients: Clients) -> list[str]:
    """Return the actions that the credentials lack in the subscription, by name."""
    rows = clients.about(ASKED, PERMISSIONS_VERSION).get("value", [])
    return [action for action in ALL if not any(_gives(row, action) for row in rows)]


def _gives(row: Mapping[str, Any], action: str) -> bool:
    """A role gives what its actions name, without what it takes out; both know `*`."""
    wanted, without = (row.get(key) or () for key in ("actions", "notActions"))
    return _names(wanted, action) and not _names(without, action)


def _names(patterns: Iterable[str], action: str) -> bool:
    each = (re.escape(pattern).replace(r"\*", ".*") for pattern in patterns)
    return any(re.fullmatch(pattern, action, re.IGNORECASE) for pattern in each)
