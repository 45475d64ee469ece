"""The machines themselves: made, looked at, listed by their tags, ended."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import httpx
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from apps.backends.base import InstanceState, InstanceStatus
from apps.backends.providers.azure import errors, library
from apps.backends.providers.azure.clients import READ_SECONDS, Clients
from apps.backends.providers.azure.errors import Fault
from apps.backends.providers.azure.network import resource_group

OPERATION, RETRY = "Azure-AsyncOperation", "Retry-After"
FIRST_SECONDS, MOST_SECONDS = 0.1, 5.0
FAILED = "ProvisioningState/failed/"
# What others put on a machine, such as a policy of the subscription: without it, it works as well.
OF_OTHERS = ("VMExtension", "VMAgent")
POWER = "PowerState/"
# What else it may be passes by itself: "creating", "starting", "unknown" while its host is away.
STOPPED = ("stopping", "stopped", "deallocating", "deallocated", "hibernating", "hibernated")
CONSOLE_TAIL, LONGEST_CONSOLE = 4096, 4 * 2**20
NAME, REGION = re.compile(r"[a-z0-9][-a-z0-9]{0,62}", re.ASCII), re.compile(r"[a-z0-9]{3,40}")


class Ref(NamedTuple):
    """What a reference holds. Its text is the same for the same machine, so that no answer has to
    be kept: all that is to be known of a making that takes an hour, Azure says of the machine."""

    region: str
    name: str

    def __str__(self) -> str:
        return json.dumps({"region": self.region, "name": self.name})

    @classmethod
    def read(cls, text: str) -> Ref | None:
        try:
            content = json.loads(text)
            ref = cls(str(content["region"]), str(content["name"]))
        except (ValueError, TypeError, KeyError):
            return None
        return ref if REGION.fullmatch(ref.region) and NAME.fullmatch(ref.name) else None

    @property
    def at(self) -> tuple[str, str]:
        """Return what Azure's calls name it by."""
        return resource_group(self.region), self.name


def key_of_nobody() -> str:
    """Return the public half of a key whose private half is thrown away."""
    made = ed25519.Ed25519PrivateKey.generate().public_key()
    return made.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def make(clients: Clients, ref: Ref, wanted: dict[str, Any], *, until: float) -> Fault | None:
    """Make the machine, and return what went wrong with that, None where nothing did by `until`.

    What failed stays at Azure, with the disk and the address that it got: it is removed.
    """
    try:
        begun = clients.compute.virtual_machines.begin_create_or_update(
            *ref.at, wanted, match_condition=library.if_missing(), polling=False, cls=_headers
        )
    except library.exceptions().HttpResponseError as error:
        fault = errors.of_call(error)
        return None if fault.code in errors.EXISTS or error.status_code == 412 else fault
    failed = _waited(clients, begun.result(), until=until)
    if failed is not None:
        with contextlib.suppress(*library.errors()):  # Else it is found by its tags.
            terminate(clients, ref)
    return failed


def _headers(answer: Any, _: Any, __: Any) -> Mapping[str, str]:
    found: Mapping[str, str] = answer.http_response.headers
    return found


def _waited(clients: Clients, headers: Mapping[str, str], *, until: float) -> Fault | None:
    """Ask for what came of an operation until it is over, or it is time.

    Where that is not answered the machine is under way all the same: `status` tells the rest.
    """
    url, pause = headers.get(OPERATION, ""), FIRST_SECONDS
    while clients.is_ours(url):
        pause = max(pause, _seconds(headers.get(RETRY, "")))
        if time.monotonic() + pause > until:
            return None
        time.sleep(pause)
        try:
            said, headers = clients.ask(url)
        except library.errors():
            return None
        if said.get("status") in ("Failed", "Canceled"):
            error = said.get("error") or {}
            return errors.of(str(error.get("code") or ""), str(error.get("message") or ""))
        if said.get("status") == "Succeeded":
            return None
        pause = min(pause * 2, MOST_SECONDS)
    return None


def _seconds(text: str) -> float:
    return float(text) if text.isascii() and text.isdecimal() else 0.0


def find(clients: Clients, ref: Ref) -> dict[str, Any] | None:
    """Return what Azure says of a machine, None if it knows none."""
    try:
        found = clients.compute.virtual_machines.get(*ref.at, expand="instanceView")
    except library.exceptions().ResourceNotFoundError as error:
        if not errors.is_unknown(error):
            raise
        return None
    row: dict[str, Any] = found.as_dict()
    return row


def status(clients: Clients, row: dict[str, Any], ref: Ref) -> InstanceStatus:
    """Return its state; of one that failed or ended by itself, why and what it said last."""
    said = row.get("properties", {})
    statuses = said.get("instanceView", {}).get("statuses", [])
    state = str(said.get("provisioningState"))
    power = next((each for each in statuses if each["code"].startswith(POWER)), {"code": POWER})
    if state == "Failed" and _why(statuses)[0].startswith(OF_OTHERS):
        state = "Succeeded"
    if state == "Failed":
        return _failed(clients, statuses, ref)
    if state == "Deleting" or power["code"].removeprefix(POWER) in STOPPED:
        word = state if state == "Deleting" else power.get("displayStatus", power["code"])
        return InstanceStatus(
            InstanceState.FAILED,
            message=f"Azure says that the machine is {word}.",
            console_tail=console_tail(clients, ref) if state != "Deleting" else "",
            spot_notice=said.get("priority") == "Spot" and state == "Deleting",
        )
    if state != "Succeeded" and (state != "Updating" or power["code"] == POWER):
        return InstanceStatus(InstanceState.CREATING)
    return InstanceStatus(InstanceState.RUNNING, address=_address(clients, said, ref))


def _failed(clients: Clients, statuses: list[dict[str, Any]], ref: Ref) -> InstanceStatus:
    """Of a making that failed after it was answered, the machine itself says why."""
    code, message = _why(statuses)
    error = errors.of(code, message or "Its making failed.").told(ref.region)
    tail = console_tail(clients, ref)
    return InstanceStatus(InstanceState.FAILED, message=str(error), console_tail=tail, error=error)


def _why(statuses: list[dict[str, Any]]) -> tuple[str, str]:
    """Return the code and the sentence with which the last change of a machine failed."""
    for each in statuses:
        if each["code"].lower().startswith(FAILED.lower()):
            return str(each["code"])[len(FAILED) :], str(each.get("message") or "")
    return "", ""


def _address(clients: Clients, said: Mapping[str, Any], ref: Ref) -> str | None:
    """Return how it is reached from outside, its own address in the network where it is not."""
    links = said.get("networkProfile", {}).get("networkInterfaces", [])
    name = str(links[0]["id"]).rpartition("/")[2] if links else ""
    if not name:
        return None
    try:
        found = clients.network.network_interfaces.get(
            ref.at[0], name, expand="ipConfigurations/publicIPAddress"
        )
    except library.exceptions().ResourceNotFoundError:
        return None
    for config in found.as_dict().get("properties", {}).get("ipConfigurations", []):
        has = config.get("properties", {})
        outside = has.get("publicIPAddress", {}).get("properties", {}).get("ipAddress")
        return str(outside or has.get("privateIPAddress") or "") or None
    return None


def console_tail(clients: Clients, ref: Ref) -> str:
    """Return the end of what it wrote to its console, "" where there is none to be had.

    Azure says at which address of its stores that is, which lets in whoever has it.
    """
    machines = clients.compute.virtual_machines
    with contextlib.suppress(*library.errors(), httpx.HTTPError, httpx.InvalidURL):
        found = machines.retrieve_boot_diagnostics_data(*ref.at).as_dict()
        url = str(found.get("serialConsoleLogBlobUri") or "")
        if url.startswith(clients.endpoint or "https://"):
            return _end_of(url)
    return ""


def _end_of(url: str) -> str:
    said = b""
    with httpx.stream("GET", url, timeout=READ_SECONDS) as answer:
        answer.raise_for_status()
        for chunk in answer.iter_bytes():
            said = (said + chunk)[-CONSOLE_TAIL:]
            if answer.num_bytes_downloaded > LONGEST_CONSOLE:
                break
    return said.decode(errors="replace")


def terminate(clients: Clients, ref: Ref) -> None:
    """Ask for the end of a machine; one that Azure does not know has ended."""
    try:
        clients.compute.virtual_machines.begin_delete(*ref.at, force_deletion=True, polling=False)
    except library.exceptions().ResourceNotFoundError as error:
        if not errors.is_unknown(error):
            raise


def tagged(clients: Clients, tag: str, value: str) -> Iterator[tuple[Ref, dict[str, str]]]:
    """Return the machines of all regions that have this tag and are in a group of ours."""
    for found in clients.compute.virtual_machines.list_all():
        row = found.as_dict()
        tags = {str(key): str(each) for key, each in (row.get("tags") or {}).items()}
        ref = Ref(str(row["location"]), str(row["name"]))
        is_ours = f"/resourcegroups/{ref.at[0]}/" in str(row["id"]).lower()
        if tags.get(tag) == value and is_ours:
            yield ref, tags
