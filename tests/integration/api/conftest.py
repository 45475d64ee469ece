from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import User
from tests import factories

Api = Callable[..., Any]


@pytest.fixture
def alice(db: None) -> User:
    return factories.user("alice")


@pytest.fixture
def root(db: None) -> User:
    return factories.user("root", admin=True)


@pytest.fixture
def as_user() -> Callable[[User], Client]:
    """A client that sends the user's token; it answers 500 as the server does."""

    def client(user: User) -> Client:
        return Client(headers=factories.token(user).headers, raise_request_exception=False)

    return client
