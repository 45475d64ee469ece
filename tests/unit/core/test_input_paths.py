"""A path of an error is what the person wrote, whatever types of a union pydantic tried."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from apps.core.http.input_paths import written


class Named(BaseModel):
    model_config = ConfigDict(extra="forbid")

    # As a key of the same name as its type, which is a step of both kinds.
    key: Literal["key"] = "key"
    secret: str = Field(min_length=3, alias="Secret")


class Numbered(BaseModel):
    key: Literal["number"]
    number: int
    inner: Annotated[Named | Numbered, Field(discriminator="key")] | None = None


class Whole(BaseModel):
    chosen: Annotated[Named | Numbered, Field(discriminator="key")] | None = None
    several: list[Annotated[Named | Numbered, Field(discriminator="key")]] = []
    by_name: dict[str, Named | Numbered] = {}
    names: list[str] | str | None = None
    count: int | str = 0
    plain: Named | None = None


SHORT = {"key": "key", "Secret": "x"}


@pytest.mark.parametrize(
    ("given", "paths"),
    [
        ({"chosen": SHORT}, {"chosen.Secret"}),
        ({"chosen": {"key": "key"}}, {"chosen.Secret"}),
        ({"chosen": {**SHORT, "Secret": "long", "key2": 1}}, {"chosen.key2"}),
        ({"chosen": {"key": "number", "number": "x"}}, {"chosen.number"}),
        ({"chosen": {"key": "number", "number": 1, "inner": SHORT}}, {"chosen.inner.Secret"}),
        ({"chosen": {"key": "none"}}, {"chosen"}),
        ({"several": [SHORT]}, {"several.0.Secret"}),
        ({"by_name": {"a": {"key": "number", "number": "x", "Secret": "x"}}},
         {"by_name.a.key", "by_name.a.Secret", "by_name.a.number"}),
        ({"names": [1]}, {"names.0", "names"}),
        ({"names": {}}, {"names"}),
        ({"count": []}, {"count"}),
        ({"plain": SHORT}, {"plain.Secret"}),
        ({"plain": []}, {"plain"}),
    ],
)  # fmt: skip
def test_leaves_out_the_types_of_unions(given: dict[str, Any], paths: set[str]) -> None:
    with pytest.raises(ValidationError) as refused:
        Whole.model_validate(given)

    found = {".".join(map(str, written(Whole, each["loc"]))) for each in refused.value.errors()}
    assert found <= paths and found
