"""What is wrong with a subscription: credentials, state, actions, providers, regions, network."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from apps.backends.base import Problem, ProviderError
from apps.backends.providers.azure import errors, library, network, permissions
from apps.backends.providers.azure.clients import COMPUTE, NETWORK, SUBSCRIPTION_VERSION, Clients
from apps.backends.providers.azure.config import AzureConfig
from apps.backends.providers.azure.errors import told

# Quotas that are told of every region, by Azure's names; those of GPUs only where there is any.
QUOTAS = {"cores": "vCPUs", "lowPriorityCores": "spot vCPUs"}
OF_GPUS = ("standardnc", "standardnd")
REGIONS_AT_ONCE, REGIONS_TOLD = 8, 8
ENABLED = ("Enabled", "Warned", "PastDue")


def problems(clients: Clients, config: AzureConfig) -> list[Problem]:
    """Return what is wrong. Raise ProviderError only where Azure could not be asked at all."""
    try:
        with told("the subscription"):
            # What else is asked would fail for the same reason.
            return (
                list(_of_subscription(clients))
                or list(_of_permissions(clients))
                or list(_of_providers(clients))
                or [*_of_regions(clients, config), *_of_network(clients)]
            )
    except ProviderError as error:
        if error.is_passing:
            raise
        return [Problem(f"{error} Check the credentials of this backend and its subscription.")]


def _of_subscription(clients: Clients) -> Iterator[Problem]:
    try:
        said = clients.about("", SUBSCRIPTION_VERSION)
    except library.exceptions().HttpResponseError as error:
        if errors.code_of(error) not in ("SubscriptionNotFound", "InvalidSubscriptionId"):
            raise
        yield Problem(
            f"Azure knows no subscription {clients.subscription}, or these credentials may not see "
            "it: correct subscription_id, and give the role to the service principal there."
        )
    else:
        if said.get("state") not in ENABLED:
            yield Problem(
                f"The subscription {clients.subscription} is {said.get('state')}, so that nothing "
                "can be made there: mend that in Azure's portal (Subscriptions)."
            )


def _of_permissions(clients: Clients) -> Iterator[Problem]:
    """Name what is missing, with the whole role: whoever pastes it needs no other."""
    if lacking := permissions.missing(clients):
        policy = permissions.role(permissions.ALL, clients.subscription)
        yield Problem(
            f"The credentials lack {', '.join(lacking)} in the subscription "
            f"{clients.subscription}. Save the role below as role.json, run `az role definition "
            "create --role-definition role.json` (or `update`), and assign the role "
            f"{permissions.ROLE} to the service principal.",
            policy,
        )


def _of_providers(clients: Clients) -> Iterator[Problem]:
    for name in (COMPUTE, NETWORK):
        state = clients.resources.providers.get(name).as_dict().get("registrationState")
        if state != "Registered":
            yield Problem(
                f"The subscription does not use {name} yet: run `az provider register --namespace "
                f"{name} --subscription {clients.subscription}` and wait a minute."
            )


def _of_regions(clients: Clients, config: AzureConfig) -> Iterator[Problem]:
    known = clients.known_regions() if config.regions else []
    for region in config.regions:
        if region not in known:
            yield Problem(
                f"Azure has no machines in a region {region}: correct its name in regions "
                "(`az account list-locations --query '[].name'`)."
            )


def _of_network(clients: Clients) -> Iterator[Problem]:
    for rule in network.strangers(clients):
        yield Problem(
            f"The rule {rule} lets somebody in to the machines: remove it, since they are never "
            "called from outside."
        )


def facts(clients: Clients) -> list[str]:
    """Return what the subscription may run in each region at once; only the first are told."""
    with told("the subscription"):
        asked, compute = clients.regions()[:REGIONS_TOLD], clients.compute

        def quotas(region: str) -> str:
            return _shown([row.as_dict() for row in compute.usage.list(region)])

        with ThreadPoolExecutor(REGIONS_AT_ONCE) as pool:
            found = list(pool.map(quotas, asked))
    said = [f"Subscription {clients.subscription}."]
    said += [
        f"{region}: at once: {shown}." for region, shown in zip(asked, found, strict=True) if shown
    ]
    return said


def _shown(rows: list[dict[str, Any]]) -> str:
    limits = {str(row["name"]["value"]): (row["name"], int(row["limit"])) for row in rows}
    shown = [f"{word} {limits[key][1]}" for key, word in QUOTAS.items() if key in limits]
    for key, (name, limit) in limits.items():
        if key.lower().startswith(OF_GPUS) and limit:
            shown.append(f"{str(name.get('localizedValue') or key).removesuffix(' vCPUs')} {limit}")
    return ", ".join(shown)
