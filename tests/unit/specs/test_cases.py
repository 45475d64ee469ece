from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from apps.specs.errors import SpecError
from apps.specs.parse import parse
from apps.specs.schema import service_schema
from apps.specs.sections.service import ServiceSpec
from apps.specs.yaml.tree import read
from tests.unit.specs import cases_container, cases_network, cases_policy, cases_resources
from tests.unit.specs.tables import part, place, service

_TABLES = (cases_container, cases_network, cases_resources, cases_policy)
READ = [case for table in _TABLES for case in table.READ]
REFUSED = [case for table in _TABLES for case in table.REFUSED]


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    return Draft202012Validator(service_schema(not_yet={}))


@pytest.mark.parametrize(("keys", "means"), READ)
def test_reads_what_people_write(keys: str, means: dict[str, Any]) -> None:
    spec = parse(service(keys), not_yet={})

    stored = spec.to_json()
    assert {path: part(stored, path) for path in means} == means
    assert ServiceSpec.from_json(stored) == spec


@pytest.mark.parametrize(("keys", "path", "says"), REFUSED)
def test_refuses_with_path_place_and_reason(keys: str, path: str, says: str) -> None:
    text, line, column = place(service(keys))

    with pytest.raises(SpecError) as refused:
        parse(text, not_yet={})

    assert [(p.path, p.line, p.column) for p in refused.value.problems] == [(path, line, column)]
    assert says in refused.value.problems[0].message


@pytest.mark.parametrize("keys", [keys for keys, _ in READ])
def test_tells_editors_that_accepted_input_is_fine(
    keys: str, validator: Draft202012Validator
) -> None:
    problems = list(validator.iter_errors(read(service(keys)).data))

    assert problems == []
