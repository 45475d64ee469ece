"""The forms of gateways on machines."""

from __future__ import annotations

from typing import Any

from django import forms

from apps.accounts.models import Project
from apps.core.http.forms import PageForm
from apps.gateways.machines import offers, verbs

MOST_CHARACTERS = 300
# No name of a backend has a colon.
HOST = "host:"


class GatewayForm(PageForm):
    """`place` is a host, or a backend and a region of it, with the price of the machine there."""

    domain = forms.CharField(
        label="Domain",
        max_length=MOST_CHARACTERS,
        help_text="Services are names below it: for example.com, hello.example.com.",
        widget=forms.TextInput(attrs={"placeholder": "example.com", "autocapitalize": "none"}),
    )
    place = forms.ChoiceField(label="Where")
    name = forms.CharField(
        label="Name",
        required=False,
        max_length=42,
        help_text="That of its place where left out.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none"}),
    )
    default = forms.BooleanField(
        label="The default of this project",
        required=False,
        widget=forms.CheckboxInput(attrs={"class": "form-check-input"}),
    )

    dns = forms.ChoiceField(
        label="DNS record",
        required=False,
        help_text="Made by a backend that manages the domain, with a certificate for all services.",
    )

    def __init__(self, project: Project, *args: Any) -> None:
        super().__init__(*args)
        by: Any = self.fields["dns"]
        by.choices = [("", "I add it myself")]
        by.choices += [(each.name, f"by {each.name}") for each in verbs.dns_backends(project)]
        if len(by.choices) == 1:
            del self.fields["dns"]
        self.fields["default"].initial = verbs.is_first(project)
        where: Any = self.fields["place"]
        hosts = [
            (f"{HOST}{each.instance}", f"host {each.instance}: {each.hardware}")
            for each in offers.hosts(project)
        ]
        where.choices = hosts + [
            (
                f"{each.backend}/{each.region}",
                f"{each.backend} {each.region}: {each.instance}, "
                f"${each.price_usd_per_hour:.4f}".rstrip("0").rstrip(".")
                + "/h",
            )
            for each in offers.by_region(project)
        ]

    @property
    def has_places(self) -> bool:
        where: Any = self.fields["place"]
        return bool(where.choices)

    def wanted(self) -> dict[str, Any]:
        """Return the words of `verbs.Wanted`."""
        given = dict(self.cleaned_data)
        place = given.pop("place")
        if place.startswith(HOST):
            return {**given, "host": place.removeprefix(HOST)}
        backend, _, region = place.partition("/")
        return {**given, "backend": backend, "region": region}


class DomainForm(PageForm):
    domain = forms.CharField(label="Domain", max_length=MOST_CHARACTERS, required=True)
