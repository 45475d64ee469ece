from __future__ import annotations

import pytest
from django.conf import settings
from django.utils.module_loading import import_string


@pytest.mark.parametrize("name", settings.MIDDLEWARE)
def test_moves_no_live_stream_onto_a_thread_of_its_own(name: str) -> None:
    assert import_string(name).async_capable
