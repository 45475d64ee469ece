"""The sections of the Settings tab that are keys of the service's file, in their order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django import forms

from apps.runs.planning.yaml_words import words
from apps.runs.settings.rate_limits import RateLimitsForm
from apps.runs.settings.section import Changes, SectionForm, line, shown, typed
from apps.specs.sections.policy import EVENTS, RETRY_SECONDS
from apps.specs.yaml.edit import Keys
from apps.specs.yaml.tree import Plain

METRICS = (
    ("", "None: a fixed number"),
    ("rps", "Requests per second (rps)"),
    ("concurrency", "Requests at once (concurrency)"),
)
# What the file may say for "no limit".
OFF = "off"


class ScalingForm(SectionForm):
    key, title = "scaling", "Replicas and scaling"
    about = "How many replicas it may have, and what changes their number within that range."
    paths: ClassVar[Mapping[str, Keys]] = {
        "replicas": ("replicas",),
        "metric": ("scaling", "metric"),
        "target": ("scaling", "target"),
        "window": ("scaling", "window"),
        "up": ("scaling", "scale_up_delay"),
        "down": ("scaling", "scale_down_delay"),
        "zero": ("scaling", "scale_to_zero_delay"),
    }

    replicas = line("Replicas", "A number such as 2, or a range such as 0..4.")
    metric = forms.ChoiceField(label="Scale by", choices=METRICS, required=False)
    target = line("Target of each replica", "Above it replicas are added.", inputmode="decimal")
    window = line("Measured over", "Such as 30s or 1m.")
    up = line("Wait before adding")
    down = line("Wait before removing")
    zero = line("Wait before the last one goes", "Empty: as before removing any.")

    def changes(self) -> Changes:
        found = super().changes()
        if self.cleaned_data["metric"] or not self.initial["metric"]:
            return found
        kept = {keys: value for keys, value in found.items() if keys[0] != "scaling"}
        return {**kept, ("scaling",): None}


class RequestsForm(SectionForm):
    key, title = "requests", "Requests"
    about = "How many requests a replica works on, and how many wait for one."
    paths: ClassVar[Mapping[str, Keys]] = {
        "concurrency": ("max_concurrency",),
        "held": ("hold", "max_requests"),
        "hold": ("hold", "timeout"),
        "idle": ("idle_timeout",),
    }

    concurrency = line("At once on a replica", "More wait. Empty: no limit.", inputmode="numeric")
    held = line("Waiting at most", "More are answered 503.", inputmode="numeric")
    hold = line("Wait at most", "Such as 10m; then 503.")
    idle = line("Silence at most", "An answer that sends nothing for so long is cut off.")


class EndingForm(SectionForm):
    key, title = "limits", "Limits of time and price"
    about = "When it ends by itself, and what its machines may cost."
    paths: ClassVar[Mapping[str, Keys]] = {
        "longest": ("max_duration",),
        "start": ("start_duration",),
        "stop": ("stop_duration",),
        "idle": ("idle_duration",),
        "price": ("max_price",),
    }

    longest = line("Stops by itself after", "Such as 8h. Empty or off: never.")
    start = line("A replica gets ready within", "Such as 20m. Empty: the server's limit.")
    stop = line("A replica ends within", "Then it is killed. off: never.")
    idle = line("An unused machine is kept for", "Such as 5m. off: until somebody ends it.")
    price = line("Most US dollars per hour and machine", inputmode="decimal")

    @classmethod
    def values_of(cls, spec: Mapping[str, Any]) -> dict[str, Any]:
        found = super().values_of(spec)
        # Stored without a value, but the default of these is a time.
        return found | {name: found[name] or OFF for name in ("stop", "idle")}

    def changes(self) -> Changes:
        found = super().changes()
        if self.paths["idle"] in found:
            # The older forms may stand there, and not beside the newer one.
            found |= {("termination_policy",): None, ("termination_idle_time",): None}
        return found


class RetryForm(SectionForm):
    key, title = "retry", "Trying again"
    about = "Whether a replica that ends is tried again, and for how long."
    paths: ClassVar[Mapping[str, Keys]] = {
        "retry": ("retry",),
        "events": ("retry", "on_events"),
        "duration": ("retry", "duration"),
    }

    retry = forms.BooleanField(label="Try again", required=False)
    events = forms.MultipleChoiceField(
        label="After",
        required=False,
        choices=[(each, each) for each in EVENTS],
        widget=forms.CheckboxSelectMultiple,
    )
    duration = line("For", "Such as 1h.")

    @classmethod
    def values_of(cls, spec: Mapping[str, Any]) -> dict[str, Any]:
        found = spec.get("retry")
        return {
            "retry": bool(found),
            "events": found["on_events"] if found else list(EVENTS),
            "duration": words("_seconds", found["duration_seconds"] if found else RETRY_SECONDS),
        }

    def changes(self) -> Changes:
        data = self.cleaned_data
        if not self.changed_data or not (data["retry"] or self.initial["retry"]):
            return {}
        wanted: dict[str, Plain] = {"on_events": list(data["events"])}
        if data["duration"]:
            wanted["duration"] = typed(data["duration"])
        # The older form may stand there, and not beside the newer one.
        return {("retry_policy",): None, ("retry",): wanted if data["retry"] else None}


class AccessForm(SectionForm):
    key, title = "access", "Who may call it"
    about = "Without a token anyone who knows the address can call it."
    paths: ClassVar[Mapping[str, Keys]] = {"auth": ("auth",)}

    auth = forms.BooleanField(label="Callers need a token", required=False)

    @classmethod
    def values_of(cls, spec: Mapping[str, Any]) -> dict[str, Any]:
        return {"auth": spec.get("auth", True)}


class ScheduleForm(SectionForm):
    key, title = "schedule", "Schedule"
    about = "When it runs. Without a start it always does."
    paths: ClassVar[Mapping[str, Keys]] = {
        "cron": ("schedule", "cron"),
        "stop": ("schedule", "stop"),
        "timezone": ("schedule", "timezone"),
    }

    cron = forms.CharField(
        label="Starts at",
        required=False,
        max_length=2000,
        help_text="A cron expression a line: 0 8 * * mon-fri is each working day at 8.",
        widget=forms.Textarea(attrs={"rows": 2, "spellcheck": "false"}),
    )
    stop = forms.CharField(
        label="Stops at",
        required=False,
        max_length=2000,
        help_text="Empty: from its first start on it stays.",
        widget=forms.Textarea(attrs={"rows": 2, "spellcheck": "false"}),
    )
    timezone = line("Time zone", "Such as Europe/Berlin. Empty: UTC.")

    @classmethod
    def values_of(cls, spec: Mapping[str, Any]) -> dict[str, Any]:
        found = spec.get("schedule") or {}
        lines = {name: "\n".join(found.get(name) or []) for name in ("cron", "stop")}
        return {**lines, "timezone": shown(spec, ("schedule", "timezone"))}

    def clean_cron(self) -> str:
        return _lines(self.cleaned_data["cron"])

    def clean_stop(self) -> str:
        return _lines(self.cleaned_data["stop"])

    def changes(self) -> Changes:
        if not self.cleaned_data["cron"]:
            typed_beside = self.cleaned_data["stop"] and "stop" in self.changed_data
            if not typed_beside:
                return {("schedule",): None} if self.spec.get("schedule") else {}
        found: Changes = {}
        for name in self.changed_data:
            # A text area sends CRLF.
            if self.cleaned_data[name] == self.initial[name]:
                continue
            lines = self.cleaned_data[name].split("\n")
            found[self.paths[name]] = lines if len(lines) > 1 else lines[0] or None
        return found


def _lines(text: str) -> str:
    """The lines that hold something, without a text area's CRLF."""
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())


FORMS: Mapping[str, type[SectionForm]] = {
    form.key: form
    for form in (
        ScalingForm,
        AccessForm,
        RequestsForm,
        RateLimitsForm,
        RetryForm,
        EndingForm,
        ScheduleForm,
    )
}
