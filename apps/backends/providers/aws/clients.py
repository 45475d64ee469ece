"""Clients of boto3's core with our time-outs. `AWS_ENDPOINT_URL` says where an emulator is."""

from __future__ import annotations

import os
from functools import cached_property
from typing import Any

from botocore.config import Config
from botocore.loaders import Loader
from botocore.session import Session

from apps.backends.providers.aws.config import AccessKey, AwsConfig, Role
from apps.backends.providers.aws.errors import told

# The descriptions of services are read once in a process: that of EC2 alone takes 0.2 s.
LOADER = Loader(include_default_search_paths=True)
FIRST_REGION = "us-east-1"
CONNECT_SECONDS, READ_SECONDS, ATTEMPTS = 5, 20, 3


class Clients:
    """Clients of one account, made once each. Make them in one thread; call them from any."""

    def __init__(self, config: AwsConfig) -> None:
        self._config = config
        self._made: dict[tuple[str, str, int], Any] = {}

    @property
    def home(self) -> str:
        """Where to ask for what is the same in every region."""
        return self._config.regions[0] if self._config.regions else FIRST_REGION

    def ec2(self, region: str, *, attempts: int = ATTEMPTS) -> Any:
        return self.of("ec2", region, attempts=attempts)

    def of(self, service: str, region: str, *, attempts: int = ATTEMPTS) -> Any:
        key = (service, region, attempts)
        if key not in self._made:
            with told(region):
                self._made[key] = self._session.create_client(
                    service, region_name=region, config=_config(attempts)
                )
        return self._made[key]

    def regions(self) -> list[str]:
        """Return those of the configuration, else all that the account has enabled."""
        if self._config.regions:
            return list(self._config.regions)
        with told(self.home):
            found = self.ec2(self.home).describe_regions()["Regions"]
        return sorted(region["RegionName"] for region in found)

    @cached_property
    def _session(self) -> Session:
        creds = self._config.creds
        session = _session()
        if isinstance(creds, AccessKey):
            session.set_credentials(creds.access_key, creds.secret_key)
        elif isinstance(creds, Role):
            session = _assumed(session, creds, self.home)
        return session


def _session() -> Session:
    """Return a session with the credentials that are found here.

    The role of the machine is asked for at an address of the cloud's: not where an emulator
    stands for the cloud.
    """
    session = Session()
    session.register_component("data_loader", LOADER)
    if os.environ.get("AWS_ENDPOINT_URL"):
        session.get_component("credential_provider").remove("iam-role")
    return session


def _assumed(own: Session, role: Role, region: str) -> Session:
    """Return a session of the role. It lasts an hour, which no provider object outlives."""
    external = {"ExternalId": role.external_id} if role.external_id else {}
    sts = own.create_client("sts", region_name=region, config=_config(ATTEMPTS))
    asked = {"RoleArn": role.role_arn, "RoleSessionName": "dstack-web", **external}
    with told(region):
        got = sts.assume_role(**asked)["Credentials"]
    session = _session()
    session.set_credentials(got["AccessKeyId"], got["SecretAccessKey"], got["SessionToken"])
    return session


def _config(attempts: int) -> Config:
    return Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": attempts},
        max_pool_connections=4,
        user_agent_extra="dstack-web",
    )
