"""The provider of each kind of backend, one line each: no choices of a field, so no migrations."""

from __future__ import annotations

from apps.backends.base import Provider
from apps.backends.providers.aws.provider import AwsProvider
from apps.backends.providers.azure.provider import AzureProvider
from apps.backends.providers.gcp.provider import GcpProvider
from apps.backends.providers.local.provider import LocalProvider
from apps.backends.providers.ssh.provider import SshProvider
from apps.backends.providers.tensordock.provider import TensorDockProvider

PROVIDERS: dict[str, type[Provider]] = {
    AwsProvider.kind: AwsProvider,
    AzureProvider.kind: AzureProvider,
    GcpProvider.kind: GcpProvider,
    LocalProvider.kind: LocalProvider,
    SshProvider.kind: SshProvider,
    TensorDockProvider.kind: TensorDockProvider,
}
