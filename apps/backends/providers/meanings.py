"""What an error of a cloud means: of which kind it is, how far it reaches and for how long.

Each kind of backend has a table of its own from what its cloud says to these. A lifetime of none is
"until a person has changed something", or "ask again".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import NamedTuple

from apps.backends.base import ErrorKind, ProviderError, Scope

QUOTA_LASTS = timedelta(hours=1)
LONGEST_MESSAGE = 300


class Meaning(NamedTuple):
    kind: ErrorKind
    scope: Scope
    lifetime: timedelta | None = None

    def error(self, message: str) -> ProviderError:
        """Return an error of this meaning with a sentence of its own."""
        return ProviderError(message, kind=self.kind, scope=self.scope, lifetime=self.lifetime)


NO_FAMILY_QUOTA = Meaning(ErrorKind.QUOTA, Scope.FAMILY_REGION, QUOTA_LASTS)
NO_SPOT_QUOTA = Meaning(ErrorKind.QUOTA, Scope.SPOT_REGION, QUOTA_LASTS)
BACKEND_QUOTA = Meaning(ErrorKind.QUOTA, Scope.BACKEND, QUOTA_LASTS)
REGION_QUOTA = Meaning(ErrorKind.QUOTA, Scope.REGION, QUOTA_LASTS)
SETUP = Meaning(ErrorKind.SETUP, Scope.BACKEND)
# What is allowed or there in one region may not be in another.
REGION_SETUP = Meaning(ErrorKind.SETUP, Scope.REGION)
CREDENTIALS = Meaning(ErrorKind.CREDENTIALS, Scope.BACKEND)
THROTTLED = Meaning(ErrorKind.THROTTLED, Scope.OFFER_REGION)
REFUSED = Meaning(ErrorKind.REFUSED, Scope.OFFER_REGION)
UNREACHABLE = Meaning(ErrorKind.UNREACHABLE, Scope.OFFER_REGION)


def shortened(text: str) -> str:
    """Return the beginning of what a cloud said, on one line."""
    return " ".join(text.split())[:LONGEST_MESSAGE]


@contextmanager
def translating(
    errors: Callable[[], tuple[type[Exception], ...]],
    translated: Callable[[Exception], ProviderError],
) -> Iterator[None]:
    """Turn every error of a cloud's library into one of ours; `errors` are looked up once there is
    one. Nothing of the library's own goes on in its cause: a traceback that is logged would show
    what was sent.
    """
    try:
        yield
    except ProviderError:
        raise
    except errors() as error:
        raise translated(error) from None
