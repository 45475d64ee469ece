"""What the page asks of a model: the part of OpenAI's chat API that it offers. Pure."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

MOST_BYTES = 2 * 2**20
MOST_MESSAGES = 1000


class Message(BaseModel):
    """One turn of a chat. Images are left out: no service says whether its model takes them."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "user", "assistant"]
    content: str


class Asked(BaseModel):
    """A call; what is None is left to the model."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: Annotated[str, Field(min_length=1, max_length=256)]
    messages: Annotated[list[Message], Field(min_length=1, max_length=MOST_MESSAGES)]
    temperature: Annotated[float | None, Field(ge=0, le=2)] = None
    top_p: Annotated[float | None, Field(gt=0, le=1)] = None
    max_tokens: Annotated[int | None, Field(ge=1, le=10_000_000)] = None

    def call(self) -> dict[str, Any]:
        """Return the call's body: streamed, and with its count of tokens."""
        said = self.model_dump(exclude_none=True)
        return {**said, "stream": True, "stream_options": {"include_usage": True}}


def read(found: Any) -> Asked:
    """Read what the page sent. Raise pydantic's ValidationError."""
    return Asked.model_validate(found)


def as_json(call: dict[str, Any]) -> bytes:
    return json.dumps(call, ensure_ascii=False).encode()
