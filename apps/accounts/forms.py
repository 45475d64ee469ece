"""Forms of sign-in, passwords, tokens, members, users and projects."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms

from apps.accounts import tokens
from apps.accounts.models import Project, Role
from apps.core.http.forms import PageForm

PASSWORD_LENGTH = 4096
LIVES = [
    ("", "Never"),
    ("1d", "In 1 day"),
    ("7d", "In 7 days"),
    ("30d", "In 30 days"),
    ("90d", "In 90 days"),
    ("365d", "In 1 year"),
]


def _password(label: str, *, new: bool, required: bool = True) -> forms.CharField:
    kind = "new-password" if new else "current-password"
    widget = forms.PasswordInput(attrs={"autocomplete": kind})
    return forms.CharField(
        label=label, widget=widget, strip=False, max_length=PASSWORD_LENGTH, required=required
    )


class SignInForm(PageForm):
    username = forms.CharField(
        label="User name",
        max_length=150,
        widget=forms.TextInput(
            attrs={"autocomplete": "username", "autocapitalize": "none", "autofocus": True}
        ),
    )
    password = _password("Password", new=False)


class PasswordForm(PageForm):
    old = _password("Password now", new=False)
    new = _password("New password", new=True)
    again = _password("New password again", new=True)

    def clean_again(self) -> str:
        again: str = self.cleaned_data["again"]
        if again != self.cleaned_data.get("new"):
            raise forms.ValidationError("The two new passwords differ.")
        return again


LIMITS = ("rps", "burst")


class TokenForm(PageForm):
    name = forms.CharField(
        label="Name",
        max_length=100,
        help_text="What it is for, so that you know which one to revoke later.",
    )
    scope = forms.ChoiceField(
        label="May",
        choices=[
            ("full", "Do all that I may (CLI, API)"),
            ("call", "Only call services"),
        ],
    )
    where = forms.ChoiceField(label="In")
    runs = forms.CharField(
        label="Only these services",
        required=False,
        max_length=5200,
        help_text="Names separated by commas. Makes a key for this project that calls them and "
        "nothing else. Empty: all services.",
    )
    expires = forms.ChoiceField(label="Expires", choices=LIVES, required=False, initial="90d")
    rps = forms.FloatField(
        label="Calls per second",
        required=False,
        help_text="At most so many calls of services, all together. Empty: no limit.",
        widget=forms.NumberInput(attrs={"step": "any", "min": "0"}),
    )
    burst = forms.IntegerField(
        label="Burst",
        required=False,
        help_text="How many calls above that rate may come together. Empty: a second's worth.",
        widget=forms.NumberInput(attrs={"min": "0"}),
    )

    def __init__(self, *args: object, project: Project, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.project = project
        where = self.fields["where"]
        assert isinstance(where, forms.ChoiceField)
        where.choices = [("project", f"Project {project.name}"), ("all", "All my projects")]

    @property
    def usual(self) -> list[forms.BoundField]:
        return [field for field in self if field.name not in LIMITS]

    @property
    def limits(self) -> list[forms.BoundField]:
        """The fields that few need, folded away."""
        return [self[name] for name in LIMITS]

    @property
    def has_limits(self) -> bool:
        return any(field.value() or field.errors for field in self.limits)

    def request(self, *, at: datetime) -> tokens.TokenRequest:
        """Return what was asked for. Raise Invalid."""
        data = self.cleaned_data
        runs = [name for name in data["runs"].replace(",", " ").split() if name]
        bound = data["where"] == "project" or bool(runs)
        return tokens.TokenRequest(
            name=data["name"],
            scope=data["scope"],
            project=self.project if bound else None,
            run_names=runs,
            expires_at=tokens.expiry(data["expires"] or None, at=at),
            rps=data["rps"],
            burst=data["burst"],
        )


class MemberForm(PageForm):
    username = forms.CharField(label="User name", max_length=150)
    role = forms.ChoiceField(label="Role", choices=Role.choices, initial=Role.USER)


class UserForm(PageForm):
    username = forms.CharField(
        label="User name", max_length=150, widget=forms.TextInput(attrs={"autocomplete": "off"})
    )
    password = _password("Password", new=True, required=False)
    admin = forms.BooleanField(
        label="Admin of this server",
        required=False,
        widget=forms.CheckboxInput(attrs={"class": "form-check-input"}),
    )


class ProjectForm(PageForm):
    name = forms.CharField(
        label="Name",
        max_length=50,
        help_text="Lower-case letters, digits and hyphens.",
        widget=forms.TextInput(attrs={"autofocus": True, "autocapitalize": "none"}),
    )


class ReplicasLimitForm(PageForm):
    replicas_limit = forms.IntegerField(
        label="Replicas of a service, at most",
        required=False,
        help_text="Empty: the server's own limit. Services that have more keep them.",
    )


class MachineLimitsForm(PageForm):
    max_instances = forms.IntegerField(
        label="Instances at a time, at most",
        required=False,
        help_text="Machines that are made for this project, idle ones too. Empty: no limit.",
    )
    max_usd_per_hour = forms.DecimalField(
        label="Dollars per hour, at most",
        required=False,
        help_text="What these machines may cost together. Empty: no limit.",
        widget=forms.NumberInput(attrs={"step": "any", "min": "0"}),
    )


class BudgetForm(PageForm):
    usd_per_month = forms.DecimalField(
        label="Dollars per month, at most",
        required=False,
        help_text="What this project may spend in a month (UTC). Empty: no budget.",
        widget=forms.NumberInput(attrs={"step": "any", "min": "0"}),
    )
    warn_percent = forms.IntegerField(
        label="Warn from so many percent of it on",
        help_text="From 1 to 100. The warning stands on the overview and on services that cost.",
        widget=forms.NumberInput(attrs={"min": "1", "max": "100"}),
    )


class DeleteProjectForm(PageForm):
    """`name` is the project's, which the person types to be sure."""

    typed = forms.CharField(
        label="Its name, to be sure",
        max_length=50,
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none"}),
    )

    def __init__(self, *args: Any, name: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.name = name

    def clean_typed(self) -> str:
        typed: str = self.cleaned_data["typed"]
        if typed != self.name:
            raise forms.ValidationError(f"This is not the name of the project, {self.name}.")
        return typed
