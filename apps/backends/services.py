"""Connecting accounts, and opening them."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from apps.accounts.models import Project
from apps.backends.base import Backend
from apps.backends.models import Account
from apps.backends.registry import PROVIDERS
from apps.core import crypto
from apps.core.errors import Detail, Invalid


def connect(*, project: Project, kind: str, config: dict[str, Any]) -> Account:
    """This function will connect a backend to a project, or change how it is connected.

    Raises Invalid when the kind is unknown or the configuration is wrong. The account is not tried:
    that is `open_account(account).check()`, an outside call.
    """
    if kind not in PROVIDERS:
        raise Invalid(f"There is no backend `{kind}`; there are {', '.join(sorted(PROVIDERS))}.")
    try:
        checked = PROVIDERS[kind].Config.model_validate(config)
    except ValidationError as error:
        details = [Detail(".".join(map(str, e["loc"])), e["msg"]) for e in error.errors()]
        raise Invalid(f"The configuration of {kind} is wrong.", details=details) from error
    account, _ = Account.objects.update_or_create(
        project=project,
        kind=kind,
        defaults={"config": crypto.encrypt(checked.model_dump(mode="json"))},
    )
    return account


def open_account(account: Account) -> Backend:
    """This function will return the provider, ready to be called. It makes no call itself."""
    provider = PROVIDERS[account.kind]
    return provider(provider.Config.model_validate(crypto.decrypt(account.config)))
