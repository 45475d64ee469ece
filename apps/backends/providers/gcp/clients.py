"""Calls of one project with our time-outs. `DSTACK_GCP_ENDPOINT` says where an emulator is."""

from __future__ import annotations

import os
from functools import cached_property
from typing import Any

from apps.backends.base import ErrorKind, ProviderError, Scope
from apps.backends.providers.gcp import library
from apps.backends.providers.gcp.config import GcpConfig, ServiceAccount
from apps.backends.providers.gcp.errors import told

ENDPOINT = "DSTACK_GCP_ENDPOINT"
SCOPES = ["https://www.googleapis.com/auth/cloud-platform"]
CALL_SECONDS = 20.0


class Clients:
    """Clients of one project, made once each. Make them in one thread; call them from any."""

    def __init__(self, config: GcpConfig) -> None:
        self._config = config
        self.project = config.project_id
        self.endpoint = os.environ.get(ENDPOINT, "").rstrip("/")
        self._made: dict[str, Any] = {}

    @property
    def identity(self) -> str:
        """Return what tells one set of credentials from another; it is secret."""
        return self._config.creds.model_dump_json()

    def call(self, service: str, method: str, **asked: Any) -> Any:
        """Ask a service of Compute Engine about this project; there is one attempt, of 20 s."""
        request = {"project": self.project, **asked}
        return getattr(self.of(service), method)(request=request, retry=None, timeout=CALL_SECONDS)

    def of(self, service: str) -> Any:
        if service not in self._made:
            made = getattr(library.compute(), f"{service}Client")
            options = {"api_endpoint": self.endpoint} if self.endpoint else {}
            self._made[service] = made(
                credentials=self.credentials, transport="rest", client_options=options
            )
        return self._made[service]

    def ask(
        self, method: str, host: str, path: str, *, params: Any = None, json: Any = None
    ) -> Any:
        """Ask another API of Google; return its answer. Raise what the library raises."""
        url = f"{self.endpoint or f'https://{host}.googleapis.com'}/{path}"
        answer = self._session.request(method, url, params=params, json=json, timeout=CALL_SECONDS)
        if answer.status_code >= 400:
            raise library.exceptions().from_http_response(answer)
        return answer.json()

    def regions(self) -> list[str]:
        """Return those of the configuration, else all that the project has."""
        if self._config.regions:
            return list(self._config.regions)
        with told("the project"):
            return sorted(str(row.name) for row in self.call("Regions", "list"))

    def zones(self, region: str) -> list[str]:
        """Return the zones of a region that are up, by name."""
        rows = self.call("Zones", "list")
        return sorted(
            str(row.name)
            for row in rows
            if row.region.rpartition("/")[2] == region and row.status != "DOWN"
        )

    @cached_property
    def credentials(self) -> Any:
        """Return what calls are signed with: nothing where an emulator stands for the cloud."""
        creds = self._config.creds
        if isinstance(creds, ServiceAccount):
            try:
                known = library.service_account(creds.info(), SCOPES)
            except ValueError:
                raise ProviderError(
                    "The private key in the JSON file of the service account cannot be read: "
                    "make a new key and take its file as it is.",
                    kind=ErrorKind.CREDENTIALS,
                    scope=Scope.BACKEND,
                ) from None
        if self.endpoint:
            return library.anonymous()
        if isinstance(creds, ServiceAccount):
            return known
        with told("the server"):
            found, _ = library.auth().default(scopes=SCOPES)
        return found

    @cached_property
    def _session(self) -> Any:
        return library.session_of(self.credentials)
