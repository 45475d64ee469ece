"""What the forms of all pages share: the look of their widgets, and errors at their field."""

from __future__ import annotations

from typing import Any

from django import forms

from apps.core.errors import AppError


class PageForm(forms.Form):
    """A form that is drawn field by field with `components/field.html`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""
        for field in self.fields.values():
            chosen = isinstance(field.widget, forms.Select)
            field.widget.attrs.setdefault("class", "form-select" if chosen else "form-control")

    def refuse(self, error: AppError) -> None:
        """Show a refusal at the fields it names, else above the form."""
        named = [detail for detail in error.details if detail.path in self.fields]
        for detail in named:
            self.add_error(detail.path, detail.message)
        if not named:
            self.add_error(None, error.message)
