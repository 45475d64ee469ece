"""What is wrong with a project: credentials, APIs, billing, permissions, regions, network."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from apps.backends.base import Problem, ProviderError
from apps.backends.providers.gcp import errors, library, network, permissions
from apps.backends.providers.gcp.clients import Clients
from apps.backends.providers.gcp.config import GcpConfig
from apps.backends.providers.gcp.errors import told

# Quotas that are told, by Google's names; one that a region lacks is not.
QUOTAS = {
    "CPUS": "CPUs",
    "PREEMPTIBLE_CPUS": "spot CPUs",
    "NVIDIA_T4_GPUS": "T4",
    "NVIDIA_L4_GPUS": "L4",
    "NVIDIA_A100_GPUS": "A100",
    "NVIDIA_A100_80GB_GPUS": "A100 80GB",
    "NVIDIA_H100_GPUS": "H100",
}
OF_PROJECT = {"CPUS_ALL_REGIONS": "CPUs", "GPUS_ALL_REGIONS": "GPUs"}
REGIONS_AT_ONCE, REGIONS_TOLD = 8, 8
DISABLED = ("SERVICE_DISABLED", "accessNotConfigured")
NO_BILLING = ("BILLING_DISABLED", "billingNotEnabled")
NO_PROJECT = ("CONSUMER_INVALID", "USER_PROJECT_DENIED", "notFound", "404")


def problems(clients: Clients, config: GcpConfig) -> list[Problem]:
    """Return what is wrong. Raise ProviderError only where Google could not be asked at all."""
    try:
        with told("the project"):
            lacking = _asked(clients)
            if isinstance(lacking, Problem):
                return [lacking]
            if lacking:  # What else is asked would fail for the same reason.
                return [_lacking(clients, lacking)]
            return [*_of_regions(clients, config), *_of_network(clients)]
    except ProviderError as error:
        if error.is_passing:
            raise
        return [Problem(f"{error} Check the credentials of this backend and its project.")]


def _asked(clients: Clients) -> list[str] | Problem:
    """Ask for the project and for permissions; what keeps both from an answer is one problem."""
    try:
        lacking = permissions.missing(clients)
        if not lacking:
            clients.call("Projects", "get")
    except library.exceptions().GoogleAPICallError as error:
        known = _of_project(clients, error)
        if known is None:
            raise
        return known
    return lacking


def _of_project(clients: Clients, error: Any) -> Problem | None:
    """Say what a person has to switch on, or that there is no such project."""
    fault = errors.of_call(error)
    if fault.code in DISABLED:
        return Problem(
            f"An API that is needed is off in the project {clients.project}: run `gcloud services "
            "enable compute.googleapis.com cloudresourcemanager.googleapis.com "
            f"cloudbilling.googleapis.com --project {clients.project}` and wait a minute. "
            f"Google said: {fault.message[:200]}"
        )
    if fault.code in NO_BILLING:
        return Problem(
            f"The project {clients.project} has no billing account, so that nothing can be made "
            "there: link one in Google's console (Billing, My projects)."
        )
    if fault.code in NO_PROJECT:
        return Problem(
            f"Google Cloud knows no project {clients.project}, or these credentials may not see "
            "it: correct project_id, which is the ID of the project, not its name."
        )
    return None


def _lacking(clients: Clients, names: list[str]) -> Problem:
    """Name what is missing, with the whole role: whoever pastes it needs no other."""
    project = clients.project
    return Problem(
        f"The credentials lack {', '.join(names)} in the project {project}. Save the least policy "
        "(`dstack backend policy gcp`) as role.json, run `gcloud iam roles create "
        f"{permissions.ROLE} --project {project} --file role.json` (or `update`), and give the "
        f"role to the service account.",
        permissions.MINIMAL_ROLE,
    )


def _of_regions(clients: Clients, config: GcpConfig) -> Iterator[Problem]:
    known = {str(row.name): str(row.status) for row in clients.call("Regions", "list")}
    for region in config.regions:
        if region not in known:
            yield Problem(f"Google Cloud has no region {region}: correct its name in regions.")
        elif known[region] == "DOWN":
            yield Problem(f"The region {region} is down: try again later, or leave it out.")


def _of_network(clients: Clients) -> Iterator[Problem]:
    for rule in network.strangers(clients):
        yield Problem(
            f"The firewall rule {rule} lets somebody in to the network {network.NAME}: remove it, "
            "since machines are never called from outside."
        )


def facts(clients: Clients) -> list[str]:
    """Return what the project may run, in all and in each region; only the first are told."""
    with told("the project"):
        project = clients.call("Projects", "get")
        asked = clients.regions()[:REGIONS_TOLD]
        clients.of("Regions")
        with ThreadPoolExecutor(REGIONS_AT_ONCE) as pool:
            rows = list(pool.map(lambda name: clients.call("Regions", "get", region=name), asked))
    whole = _shown(project, OF_PROJECT)
    said = [f"Project {clients.project}{f', in all regions at once: {whole}' if whole else ''}."]
    for row in rows:
        shown = _shown(row, QUOTAS)
        said += [f"{row.name}: at once: {shown}."] if shown else []
    return said


def _shown(row: Any, names: dict[str, str]) -> str:
    limits = {str(quota.metric): float(quota.limit) for quota in row.quotas}
    return ", ".join(f"{name} {limits[key]:g}" for key, name in names.items() if key in limits)
