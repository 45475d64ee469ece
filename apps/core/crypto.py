"""Encryption of what must be read again: environment values, credentials.

Fernet with a list of keys, newest first: all decrypt, the first encrypts, so keys are rotated by
putting a new one in front. What need not be read again (tokens) is hashed instead.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

__all__ = ["NO_KEY_FITS", "InvalidToken", "decrypt", "encrypt"]

NO_KEY_FITS = (
    "its secrets cannot be decrypted: no key of DSTACK_ENCRYPTION_KEYS is the one that they were "
    "stored with"
)


@lru_cache(maxsize=4)
def _fernet(keys: tuple[str, ...]) -> MultiFernet:
    if not keys:
        raise ImproperlyConfigured("DSTACK_ENCRYPTION_KEYS is empty: set at least one Fernet key.")
    return MultiFernet([Fernet(key) for key in keys])


def encrypt(value: Any) -> str:
    """Return the JSON value encrypted, as text."""
    text = json.dumps(value, separators=(",", ":"))
    return _fernet(tuple(settings.DSTACK_ENCRYPTION_KEYS)).encrypt(text.encode()).decode()


def decrypt(text: str) -> Any:
    """Return the value that `encrypt` was given.

    Raise InvalidToken when no key fits.
    """
    return json.loads(_fernet(tuple(settings.DSTACK_ENCRYPTION_KEYS)).decrypt(text.encode()))
