"""What a release is: one wheel, from which the command line runs alone and the server has all."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 300


def run(*argv: str | Path, cwd: Path) -> str:
    env = {key: os.environ[key] for key in os.environ if not key.startswith(("DSTACK_", "PYTHON"))}
    done = subprocess.run(
        [str(word) for word in argv],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    ignored = shutil.ignore_patterns("node_modules", "__pycache__")
    for name in ("dstack_web", "apps", "gateway", "templates", "staticfiles"):
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, source)
    build = "import hatchling.build as b, sys; print(b.build_wheel(sys.argv[1]))"
    run(sys.executable, "-c", build, folder, cwd=source)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_carries_templates_and_collected_static_files(names: set[str]) -> None:
    templates = (ROOT / "templates").rglob("*.html")

    wanted = {f"dstack_web/_templates/{path.relative_to(ROOT / 'templates')}" for path in templates}

    assert wanted <= names
    assert "dstack_web/_static/staticfiles.json" in names


def test_the_wheel_carries_the_licence_and_the_notices_of_what_it_bundles(
    names: set[str],
) -> None:
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert "dstack_web/_static/vendor/licenses.txt" in names


def test_the_wheel_carries_every_module_and_no_test(names: set[str]) -> None:
    modules = {
        str(path.relative_to(ROOT))
        for package in ("dstack_web", "apps", "gateway")
        for path in (ROOT / package).rglob("*.py")
        if "/_" not in str(path.relative_to(ROOT).parent)
    }

    assert modules <= names
    assert not [name for name in names if name.startswith("tests/")]


def test_the_base_install_runs_the_command_line_without_django(wheel: Path, tmp_path: Path) -> None:
    run(sys.executable, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "-qq", wheel, cwd=tmp_path)

    said = run(python.with_name("dstack"), "--help", cwd=tmp_path)

    assert "apply" in said
    assert "django" not in run(python, "-m", "pip", "list", cwd=tmp_path).lower()


def locked(lock: str) -> set[str]:
    pins = re.findall(r"^([A-Za-z0-9._-]+)==", (ROOT / lock).read_text(), re.MULTILINE)
    return {name.lower().replace("_", "-") for name in pins}


@pytest.mark.parametrize(
    ("lock", "extras"),
    [
        ("requirements.lock", ("server", "gateway", "embedded", "build")),
        ("requirements-dev.lock", ("server", "gateway", "embedded", "build", "dev")),
    ],
)
def test_the_locks_hold_all_that_the_project_asks_for(lock: str, extras: tuple[str, ...]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"]]
    for extra in extras:
        asked += project["optional-dependencies"][extra]
    names = {re.split(r"[\[<>=! ;]", line)[0].lower().replace("_", "-") for line in asked}

    assert names - {"dstack-web"} - locked(lock) == set(), "run `make lock`"


def test_no_lock_names_an_index() -> None:
    text = "".join(path.read_text() for path in ROOT.glob("requirements*.lock"))

    assert not re.search(r"https?://|--(extra-)?index-url|--find-links", text)
    npm = ROOT / "static" / "package-lock.json"
    assert "resolved" not in npm.read_text()
