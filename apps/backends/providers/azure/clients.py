"""Calls of one subscription with our time-outs; `DSTACK_AZURE_ENDPOINT` is where an emulator is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from apps.backends.providers.azure import library
from apps.backends.providers.azure.config import AzureConfig, ClientSecret
from apps.backends.providers.azure.errors import told
from apps.backends.providers.azure.retail import ENDPOINT

HOST = "management.azure.com"
CONNECT_SECONDS, READ_SECONDS = 5, 20
# Of each call there is one attempt: whoever asks comes back later.
BOUNDS = {
    "connection_timeout": CONNECT_SECONDS,
    "read_timeout": READ_SECONDS,
    "retry_total": 0,
}
COMPUTE, NETWORK = "Microsoft.Compute", "Microsoft.Network"
PERMISSIONS_VERSION, SUBSCRIPTION_VERSION = "2022-04-01", "2022-12-01"


class Clients:
    """Clients of one subscription, made once each. Make them in one thread; call them from any."""

    def __init__(self, config: AzureConfig) -> None:
        self._config = config
        self.subscription = config.subscription_id
        self.endpoint = os.environ.get(ENDPOINT, "").rstrip("/")

    @cached_property
    def compute(self) -> Any:
        return self._made(library.compute().ComputeManagementClient)

    @cached_property
    def network(self) -> Any:
        return self._made(library.network().NetworkManagementClient)

    @cached_property
    def resources(self) -> Any:
        return self._made(library.resources().ResourceManagementClient)

    def ask(self, url: str, **params: str) -> tuple[dict[str, Any], Mapping[str, str]]:
        """Ask for what Microsoft's libraries have no method for; return the content and headers.

        Raise what they raise.
        """
        answer = self.compute.send_request(library.get(url, **params))
        answer.raise_for_status()
        try:
            return dict(answer.json()), answer.headers
        except (ValueError, TypeError):
            raise library.exceptions().DecodeError("not an object of JSON") from None

    def about(self, path: str, version: str) -> dict[str, Any]:
        """Return what Azure says of the subscription itself."""
        base = self.endpoint or f"https://{HOST}"
        url = f"{base}/subscriptions/{self.subscription}{path}"
        return self.ask(url, **{"api-version": version})[0]

    def is_ours(self, url: str) -> bool:
        """Tell whether an address that Azure named is Azure: calls carry a token."""
        if self.endpoint:
            return url.startswith(f"{self.endpoint}/")
        parts = urlsplit(url)
        return (parts.scheme, parts.netloc) == ("https", HOST)

    def regions(self) -> list[str]:
        """Return those of the configuration, else all where the subscription may have machines."""
        if self._config.regions:
            return list(self._config.regions)
        with told("the subscription"):
            return self.known_regions()

    def known_regions(self) -> list[str]:
        """Azure names them as people read them: `West US 2` is `westus2`."""
        found = self.resources.providers.get(COMPUTE).as_dict()
        kinds = {row["resourceType"]: row for row in found.get("resourceTypes", [])}
        places = kinds.get("virtualMachines", {}).get("locations", [])
        return sorted({str(place).replace(" ", "").lower() for place in places})

    def _made(self, client: Any) -> Any:
        options: dict[str, Any] = dict(BOUNDS)
        if self.endpoint:
            options["base_url"] = self.endpoint
            options["authentication_policy"] = library.no_authentication()
        return client(self._credential, self.subscription, **options)

    @cached_property
    def _credential(self) -> Any:
        creds, identity = self._config.creds, library.identity()
        if isinstance(creds, ClientSecret):
            return identity.ClientSecretCredential(
                self._config.tenant_id, creds.client_id, creds.client_secret, **BOUNDS
            )
        return identity.DefaultAzureCredential(**BOUNDS)
