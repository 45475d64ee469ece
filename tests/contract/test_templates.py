"""What the content security policy and the house rules ask of templates and scripts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
SCRIPTS = sorted((ROOT / "static" / "js").glob("*.js"))
STYLES = sorted((ROOT / "static" / "css").glob("*.css"))


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", TEMPLATES, ids=named)
def test_has_nothing_inline(path: Path) -> None:
    text = path.read_text()

    assert not re.search(r"<script(?![^>]*\bsrc=)", text), "an inline script"
    assert not re.search(r"<style|\sstyle=", text), "an inline style"
    assert not re.search(r"\son[a-z]+=", text), "an inline handler"


@pytest.mark.parametrize("path", TEMPLATES, ids=named)
def test_names_only_assets_that_are_there(path: Path) -> None:
    named_assets = re.findall(r'{% static "((?:css|js|img)/[^"]+)" %}', path.read_text())

    assert [name for name in named_assets if not (ROOT / "static" / name).is_file()] == []


@pytest.mark.parametrize("path", TEMPLATES, ids=named)
def test_protects_each_form_that_changes_something(path: Path) -> None:
    forms = re.findall(r"<form[^>]*method=\"post\".*?</form>", path.read_text(), re.DOTALL)

    assert [form for form in forms if "{% csrf_token %}" not in form] == []


@pytest.mark.parametrize("path", TEMPLATES, ids=named)
def test_what_loads_itself_names_its_place(path: Path) -> None:
    """Without a target of its own it takes that of the element around it, which may be the page."""
    loading = re.findall(r"<[a-z][^>]*hx-trigger=\"load[^>]*>", path.read_text())

    assert [tag for tag in loading if "hx-target=" not in tag and 'hx-swap="none"' not in tag] == []


@pytest.mark.parametrize("path", TEMPLATES, ids=named)
def test_no_request_ends_another(path: Path) -> None:
    """htmx writes each that was ended into the browser's console, as an error."""
    assert not re.search(r"hx-sync=\"[^\"]*\b(replace|abort)\b", path.read_text())


@pytest.mark.parametrize("path", TEMPLATES, ids=named)
def test_no_hint_is_dropped(path: Path) -> None:
    """Of events that follow closely htmx's throttle drops the last, after which none may come."""
    assert not re.search(r"hx-trigger=\"[^\"]*\bthrottle:", path.read_text())


@pytest.mark.parametrize("path", TEMPLATES, ids=named)
def test_trusts_no_text(path: Path) -> None:
    assert not re.search(r"\|safe\b|autoescape off", path.read_text())


@pytest.mark.parametrize("path", SCRIPTS, ids=named)
def test_a_script_writes_no_markup(path: Path) -> None:
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|\beval\(", path.read_text())


@pytest.mark.parametrize("path", STYLES, ids=named)
def test_a_style_forces_nothing(path: Path) -> None:
    text = path.read_text()

    assert "!important" not in text
    assert not re.search(r"^#[a-z]", text, re.MULTILINE), "a selector by id"
