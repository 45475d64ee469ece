"""What the Deploy page sends, with or without JavaScript."""

from __future__ import annotations

from collections.abc import Mapping

from django import forms

from apps.core.http.forms import PageForm
from apps.runs.planning.request import PlanRequest

ENV_PREFIX = "env."
HASH_LENGTH = 64


class DeployForm(PageForm):
    """`env.NAME` fields stand beside it: there is one for each value that the file leaves open."""

    configuration = forms.CharField(
        label="Configuration",
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 22, "spellcheck": "false", "wrap": "off"}),
    )
    # The name that the plan made up, so that the next plan keeps it; a name in the file wins.
    draft = forms.CharField(required=False, max_length=50, widget=forms.HiddenInput)
    # The service that the page was opened for: another one is not updated without a word.
    service = forms.CharField(required=False, max_length=50, widget=forms.HiddenInput)
    upload = forms.RegexField(
        r"\A[0-9a-f]{64}\Z", required=False, widget=forms.HiddenInput, max_length=HASH_LENGTH
    )
    # What stayed out of the files, in words.
    left_out = forms.CharField(required=False, max_length=2000, widget=forms.HiddenInput)
    yaml_file = forms.FileField(
        label="A YAML file",
        required=False,
        widget=forms.FileInput(attrs={"accept": ".yml,.yaml"}),
    )
    archive = forms.FileField(
        label="Files (zip, tar or tar.gz)",
        required=False,
        widget=forms.FileInput(attrs={"accept": ".zip,.tar,.tgz,.tar.gz"}),
    )

    def plan_request(self, *, env: Mapping[str, str], upload: str | None) -> PlanRequest:
        data = self.cleaned_data
        # A text area sends CRLF, and a block of commands must not have them.
        text = data["configuration"].replace("\r\n", "\n")
        return PlanRequest(configuration=text, env=env, upload=upload)


def typed(sent: Mapping[str, str]) -> PlanRequest:
    """Return what stands in the form, when a file beside it cannot be used."""
    text = sent.get("configuration", "").replace("\r\n", "\n")
    return PlanRequest(configuration=text, env=passed_env(sent))


def passed_env(sent: Mapping[str, str]) -> dict[str, str]:
    """Return the values that were typed for open variables."""
    return {
        key.removeprefix(ENV_PREFIX): value
        for key, value in sent.items()
        if key.startswith(ENV_PREFIX) and value
    }
