"""Whether the cloud wants this machine back: its own metadata say so, AWS's two minutes before,
those of Google Cloud and Azure half a minute.

Only machines of a cloud whose metadata are known are asked, by what their configuration says.
"""

from __future__ import annotations

import email.utils
import http.client
import json
import time
import typing
import urllib.parse

LOOK_SECONDS = 5.0
CALL_SECONDS = 2.0
TOKEN_SECONDS = 6 * 3600
LONGEST_ANSWER = 64 * 1024
ADDRESS = "http://169.254.169.254"
GCP_SECONDS = 30.0
EVENTS = "2020-07-01"


class Watch:
    """Looks until there is a notice; `ends_at` is then when the machine ends, "" before."""

    def __init__(self, cloud: str, address: str) -> None:
        self.ends_at = ""
        known = CLOUDS.get(cloud)
        self._asked = known(address or ADDRESS) if known else None

    def watch(
        self, *, tell: typing.Callable[[], None], is_over: typing.Callable[[float], bool]
    ) -> None:
        """Look every few seconds until `is_over`, which waits for the seconds it is given."""
        if self._asked is None:
            return
        while not (ends_at := self._asked.ends_at()):
            if is_over(self._asked.look_seconds):
                return
        self.ends_at = ends_at
        tell()


class Aws:
    """IMDSv2: every question carries a token, which is asked for first and lasts six hours."""

    look_seconds = LOOK_SECONDS

    def __init__(self, address: str) -> None:
        self.address = address
        self._token = ""

    def ends_at(self) -> typing.Optional[str]:
        """Return when the cloud ends this machine, "" where it said nothing of that.

        None where it does not answer, so that nothing is known.
        """
        try:
            for _ in range(2):
                self._token = self._token or self._new_token()
                status, body = _call(
                    self.address,
                    "GET",
                    "/latest/meta-data/spot/instance-action",
                    {"X-aws-ec2-metadata-token": self._token},
                )
                if status != 401:
                    return _time(body) if status == 200 else "" if status == 404 else None
                self._token = ""  # It ran out.
        except (OSError, ValueError, http.client.HTTPException):
            pass
        return None

    def _new_token(self) -> str:
        wanted = {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_SECONDS)}
        status, body = _call(self.address, "PUT", "/latest/api/token", wanted)
        if status != 200:
            raise ValueError(f"no token: {status}")
        return body.decode("ascii")


class Gcp:
    """Says TRUE from the moment at which the machine is told to end, half a minute before."""

    # A look that came 5 s late would cost a sixth of the time that is left.
    look_seconds = 1.0

    def __init__(self, address: str) -> None:
        self.address = address

    def ends_at(self) -> typing.Optional[str]:
        """Return when the cloud ends this machine, "" where it said nothing of that.

        None where it does not answer, so that nothing is known.
        """
        path, headers = "/computeMetadata/v1/instance/preempted", {"Metadata-Flavor": "Google"}
        try:
            status, body = _call(self.address, "GET", path, headers)
        except (OSError, ValueError, http.client.HTTPException):
            return None
        said = body.strip() if status == 200 else b""
        if said not in (b"TRUE", b"FALSE"):
            return None
        if said == b"FALSE":
            return ""
        # What a look and a call took has passed already.
        ends_at = time.time() + GCP_SECONDS - self.look_seconds - CALL_SECONDS
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ends_at))


class Azure:
    """Its scheduled events say when a spot machine is deleted, half a minute before.

    Azure begins to tell them with the first question, which may take it two minutes to answer.
    """

    look_seconds = 1.0

    def __init__(self, address: str) -> None:
        self.address = address

    def ends_at(self) -> typing.Optional[str]:
        """Return when the cloud ends this machine, "" where it said nothing of that.

        None where it does not answer, so that nothing is known.
        """
        path, headers = f"/metadata/scheduledevents?api-version={EVENTS}", {"Metadata": "true"}
        try:
            status, body = _call(self.address, "GET", path, headers)
            events = json.loads(body)["Events"] if status == 200 else None
            ends = [_ends(row) for row in events or () if row["EventType"] == "Preempt"]
        except (OSError, ValueError, TypeError, KeyError, http.client.HTTPException):
            return None
        return min(ends, default="") if events is not None else None


Asked = typing.Union[Aws, Gcp, Azure]
CLOUDS: dict[str, typing.Callable[[str], Asked]] = {"aws": Aws, "azure": Azure, "gcp": Gcp}


def _call(address: str, method: str, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
    """Ask without a proxy: the address is this machine's own."""
    parts = urllib.parse.urlsplit(address)
    connection = http.client.HTTPConnection(
        parts.hostname or "", parts.port or 80, timeout=CALL_SECONDS
    )
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read(LONGEST_ANSWER)
    finally:
        connection.close()


def _time(body: bytes) -> str:
    """Return the time of `{"action": "terminate", "time": "2026-09-18T08:22:00Z"}`."""
    said = json.loads(body)
    if not isinstance(said, dict) or not isinstance(said.get("time"), str):
        raise ValueError("not a notice")
    return str(said["time"])


def _ends(event: dict[str, typing.Any]) -> str:
    """Return the time of `"NotBefore": "Mon, 19 Sep 2026 18:29:47 GMT"`; of one that has begun
    already Azure says none."""
    said = str(event["NotBefore"])
    at = email.utils.parsedate_to_datetime(said).timestamp() if said else time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
