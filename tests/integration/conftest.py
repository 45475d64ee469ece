from __future__ import annotations

import pytest

from tests import people as peoples
from tests.people import People


@pytest.fixture
def people(db: None) -> People:
    return peoples.make()
