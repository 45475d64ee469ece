"""What a stranger reads first is true: licence, version, hooks, and what the documents point at."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from apps.agent import agent
from dstack_web.api import api
from dstack_web.web import docs

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"]
PAGES = sorted((ROOT / "templates" / "docs").glob("*.md"))
FENCE = re.compile(r"```.*?```", re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
PATH = re.compile(r"`((?:apps|dstack_web|gateway|static|templates|tests|\.ci)/[\w./-]+)`")
# They are made by a build.
NOT_IN_THE_TREE = ("static/vendor", "static/node_modules")


def anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_licence_is_the_one_that_the_package_names() -> None:
    text = (ROOT / "LICENSE").read_text()

    assert text.startswith("Mozilla Public License Version 2.0\n")
    assert 'Exhibit B - "Incompatible With Secondary Licenses" Notice' in text
    assert (PROJECT["license"], PROJECT["license-files"]) == ("MPL-2.0", ["LICENSE"])


def test_every_bundled_package_has_its_notice() -> None:
    """The lock's packages, but for those that only build."""
    lock = json.loads((ROOT / "static" / "package-lock.json").read_text())["packages"]
    needed = [path for path, about in lock.items() if path and not about.get("dev")]
    runs = {path.split("node_modules/")[-1] for path in needed}
    notices = (ROOT / "static" / "vendor" / "licenses.txt").read_text()

    named = set(re.findall(r"^(\S+) \S+ \([\w.-]+\)$", notices, re.MULTILINE))

    # Needed by parts of packages that the pages leave out.
    assert runs - named == {"@popperjs/core", "@codemirror/autocomplete"}


def test_there_is_one_version() -> None:
    places = {
        "the installed package": version("dstack-web"),
        "the agent": agent.VERSION,
        "the API's document": api.version,
    }

    assert places == dict.fromkeys(places, PROJECT["version"])


def test_the_changelog_has_the_version_or_is_before_it() -> None:
    released = re.findall(r"^## \[(\d[^\]]*)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert released[:1] in ([], [PROJECT["version"]])


def test_the_hooks_are_the_linters_of_make() -> None:
    linters = re.search(r"^LINTERS := (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    hooks = [hook for repo in config["repos"] for hook in repo["hooks"]]

    assert linters
    assert [hook["entry"] for hook in hooks] == [f"make {name}" for name in linters[1].split()]
    assert {hook["language"] for hook in hooks} == {"system"}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_of_a_document_lead_somewhere(name: str) -> None:
    links = [link for link in LINK.findall((ROOT / name).read_text()) if "://" not in link]
    missing = []
    for link in links:
        path, _, anchor = link.partition("#")
        target = ROOT / (path or name)
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            missing.append(link)

    assert missing == []


@pytest.mark.parametrize("path", [ROOT / name for name in DOCUMENTS] + PAGES, ids=lambda p: p.name)
def test_names_only_files_that_are_there(path: Path) -> None:
    named = PATH.findall(path.read_text())

    absent = [
        name
        for name in named
        if not name.startswith(NOT_IN_THE_TREE) and not (ROOT / name.rstrip("/")).exists()
    ]

    assert absent == []


@pytest.mark.parametrize("doc", docs.every(), ids=lambda doc: doc.name)
def test_links_of_a_page_lead_to_pages_and_parts_that_are_there(doc: docs.Doc) -> None:
    known = {f"/docs/{other.name}/" for other in docs.every()} | {"/docs/"}
    known |= {f"/docs/{o.name}/#{anchor}" for o in docs.every() for anchor, _ in o.parts}
    known |= {f"#{anchor}" for anchor, _ in doc.parts}

    links = re.findall(r'href="((?:/docs/|#)[^"]*)"', doc.html)

    assert [link for link in links if link not in known] == []


def make(folder: Path, *targets: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", *targets], cwd=folder, capture_output=True, text=True)


def test_images_carry_the_version_of_the_package() -> None:
    said = make(ROOT, "-n", "images").stdout
    assert f"-t dstack-web/$target -t dstack-web/$target:{PROJECT['version']} ." in said


def test_tags_a_version_that_the_changelog_names_and_no_other(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    who = ("-c", "user.name=a", "-c", "user.email=a@example.com")
    for words in (["init", "-q"], [*who, "commit", "-q", "--allow-empty", "-m", "Begin"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    for words in (["user.name", "a"], ["user.email", "a@example.com"]):
        subprocess.run(["git", "config", *words], cwd=tmp_path, check=True)

    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## [0.0.1]\n")
    refused = make(tmp_path, "tag")
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n## [{PROJECT['version']}]\n")
    done = make(tmp_path, "tag")

    tags = subprocess.run(["git", "tag"], cwd=tmp_path, capture_output=True, text=True).stdout
    assert refused.returncode != 0 and "CHANGELOG.md has no section" in refused.stderr
    assert done.returncode == 0, done.stderr
    assert tags.split() == [f"v{PROJECT['version']}"]
