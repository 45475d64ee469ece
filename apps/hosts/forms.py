"""The form of a host."""

from __future__ import annotations

from typing import Any

from django import forms

from apps.core.errors import Detail, Invalid
from apps.core.http.forms import PageForm
from apps.hosts.keys import MOST_BYTES

PLAIN: dict[str, Any] = {"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}


def _text(label: str, hint: str, placeholder: str, *, required: bool = False) -> forms.CharField:
    return forms.CharField(
        label=label if required else f"{label} (optional)",
        help_text=hint,
        required=required,
        max_length=400,
        widget=forms.TextInput(attrs={**PLAIN, "placeholder": placeholder}),
    )


class HostForm(PageForm):
    address = _text(
        "Address", "The user and the machine, with the port of ssh where it is not 22.",
        "ann@192.0.2.7:2222", required=True,
    )  # fmt: skip
    key = forms.CharField(
        label="Private key (optional)",
        help_text="Without a passphrase. Kept encrypted and never shown again. Empty: the "
        "server's own key, whose public half is on this page.",
        required=False,
        max_length=2 * MOST_BYTES,
        widget=forms.Textarea(
            attrs={
                **PLAIN,
                "rows": 4,
                "placeholder": "-----BEGIN OPENSSH PRIVATE KEY-----",
                "class": "form-control mono",
            }
        ),
    )
    key_file = forms.FileField(label="or its file", required=False, max_length=255)
    jump = _text("Jump host", "Where ssh goes through to reach it.", "ann@gate.example.com")
    price_usd_per_hour = forms.FloatField(
        label="Price in USD an hour (optional)",
        help_text="By which it is chosen among other offers. Empty: 0.",
        required=False,
        widget=forms.NumberInput(attrs={"step": "any", "min": "0", "placeholder": "0"}),
    )
    name = _text("Name", "What offers and services call it.", "desk")

    def key_text(self) -> str:
        """Return the key that was pasted or uploaded. Raise Invalid for a file that is too long."""
        file = self.cleaned_data.get("key_file")
        if file is None:
            return str(self.cleaned_data["key"])
        data: bytes = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            said = "This file is longer than any key of ssh."
            raise Invalid(said, details=[Detail("key_file", said)])
        return data.decode(errors="replace")
