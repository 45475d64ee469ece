from __future__ import annotations


class FrontFailed(Exception):
    """The server cannot be put behind its proxy; the text says why and what to do."""
