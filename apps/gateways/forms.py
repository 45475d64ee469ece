"""The form of certificates."""

from __future__ import annotations

from typing import Any

from django import forms

from apps.core.http.forms import PageForm
from apps.gateways.pem import MOST_BYTES


def _pem(label: str, hint: str, mark: str) -> forms.CharField:
    attributes: dict[str, Any] = {
        "rows": 6,
        "spellcheck": "false",
        "autocomplete": "off",
        "placeholder": f"-----BEGIN {mark}-----",
        "class": "form-control mono",
    }
    return forms.CharField(
        label=label,
        help_text=hint,
        max_length=2 * MOST_BYTES,
        widget=forms.Textarea(attrs=attributes),
    )


class CertificateForm(PageForm):
    chain = _pem("Certificate", "PEM, followed by its intermediate ones.", "CERTIFICATE")
    key = _pem("Private key", "PEM, without a password. Nobody can read it here.", "PRIVATE KEY")
