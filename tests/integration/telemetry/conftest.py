from __future__ import annotations

import pytest

from apps.accounts.models import Project
from apps.runs.models import Run
from tests import factories
from tests.printing import Printer, printer


@pytest.fixture
def project(db: None) -> Project:
    return factories.project("main")


@pytest.fixture
def run(project: Project) -> Run:
    return factories.run(project, name="hello")


@pytest.fixture
def replica(run: Run) -> Printer:
    return printer(run)
