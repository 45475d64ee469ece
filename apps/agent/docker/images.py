"""Images of a container engine: which one a workload runs, and which nobody needs any more.

A tag may move. Who deploys gets what the registry has now; its later replicas get the very image
of the first one (`WorkloadSpec.image_pin`), wherever the tag points by then. An image that somebody
else's login brought here is run only by whom its registry gives it to.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import threading
import typing
from dataclasses import dataclass

from apps.agent import wire
from apps.agent.docker import pull
from apps.agent.docker.engine import Engine, EngineRefused
from apps.agent.docker.image_ledger import Ledger
from apps.agent.docker.pull import Auth, PullFailed
from apps.agent.host.home import Home
from apps.agent.workloads.executor import Check, PrepareFailed, Say

# Names that are not of this form would become part of a call to the engine.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,400}")
Known = dict[str, typing.Any]
GIB = 2**30


@dataclass(frozen=True)
class Image:
    """An image that is here: what the engine knows of it, and the name that means it for good."""

    known: Known
    pin: str
    remarks: typing.Sequence[str] = ()


class Images:
    """The images of one engine, for all workloads; safe to use from several threads."""

    def __init__(
        self,
        engine: Engine,
        home: Home,
        *,
        log: typing.Callable[[str], None],
        most_disk_percent: float,
    ) -> None:
        self._engine = engine
        self._ledger = Ledger(home)
        self._log = log
        self._most_disk_percent = most_disk_percent
        self._lock = threading.RLock()
        self._starting: dict[str, str] = {}  # workload -> image that it has or pulls

    def have(self, spec: wire.WorkloadSpec, *, say: Say, check: Check) -> Image:
        """Return the image that a workload is to run, pulled where it must be.

        Raise PrepareFailed, EngineAway, EngineRefused and what `check` raises.
        """
        name = spec.image or ""
        if not name:
            raise PrepareFailed("there is no image to run: give `image`")
        if not NAME.fullmatch(name) or ".." in name:
            raise PrepareFailed(f"{name!r} is not the name of an image")
        auth = (spec.registry_username, spec.registry_password)
        try:
            found = _Look(self, auth, say, check).find(name, spec.image_pin)
            with self._lock:
                self._starting[spec.id] = found.known["Id"]
                self._ledger.used([found.known["Id"]])
            return found
        finally:
            self.leave(_pull_of_thread())

    def leave(self, workload_id: str) -> None:
        """Note that a workload starts no more: what it runs the engine knows by its container."""
        with self._lock:
            self._starting.pop(workload_id, None)

    def inspect(self, name: str) -> typing.Optional[Known]:
        """Return what the engine knows of an image, None where it has none."""
        try:
            found: Known = self._engine.call("GET", f"/images/{name}/json")
        except EngineRefused as error:
            if error.status != 404:
                raise
            return None
        return found

    def may_be_local(self, known: Known) -> bool:
        """Tell whether an image may have been made here, so that no registry knows it.

        Engines of containerd's store give each image a digest, as if it came from a registry.
        """
        if not known.get("RepoDigests"):
            return True
        if known["Id"] in self._ledger:
            return False
        status = self._engine.call("GET", "/info").get("DriverStatus") or []
        return any("containerd.snapshotter" in str(each) for each in status)

    def pulled(self, name: str, *, auth: Auth, say: Say, check: Check) -> Known:
        """Pull an image and return what the engine knows of it. Raise PullFailed."""
        say("pulling image")
        self.tidy()
        before = self._ids()
        pull.pull(self._engine, name, auth=auth, say=say, check=check)
        with self._lock:
            known = self.inspect(name)
            if known is None:
                raise PullFailed(name, "it was removed at once", auth)
            new = known["Id"] not in before
            self._ledger.note(known["Id"], auth, names=_names(known), ours=new)
            # Until its workload says that it is the one.
            self._starting[_pull_of_thread()] = known["Id"]
        return known

    def permit(self, name: str, known: Known, auth: Auth) -> None:
        """See that a login may have an image that is here already. Raise PullFailed."""
        if self.may_be_local(known) or self._ledger.may(known["Id"], auth):
            return
        try:
            pull.ask(self._engine, name, auth=auth)
        except PullFailed as error:
            if error.is_answer or not self._ledger.is_anybodys(known["Id"]):
                raise
            return
        self._ledger.note(known["Id"], auth, names=(), ours=False)

    def is_anybodys(self, known: Known) -> bool:
        return self._ledger.is_anybodys(known["Id"])

    def may(self, known: Known, auth: Auth) -> bool:
        return self._ledger.may(known["Id"], auth)

    def _ids(self) -> set[str]:
        return {image["Id"] for image in self._engine.call("GET", "/images/json")}

    def tidy(self) -> None:
        """Remove images that this agent pulled and nobody uses, while the disk is too full."""
        folder = str(self._engine.call("GET", "/info").get("DockerRootDir") or "")
        with self._lock:
            used = self._used()
            self._ledger.used(used)
            for image in self._ledger.ours():
                percent = _full_percent(folder)
                if percent is None or percent < self._most_disk_percent:
                    return
                if image not in used:
                    self._remove(image, percent)

    def _used(self) -> set[str]:
        """Images of containers, running or not, and of workloads that start."""
        listed = self._engine.call("GET", "/containers/json", query={"all": 1})
        return {container["ImageID"] for container in listed} | set(self._starting.values())

    def _remove(self, image: str, percent: float) -> None:
        known = self.inspect(image)
        if known is None:
            self._ledger.forget(image)
            return
        tags = known.get("RepoTags") or []
        if not set(tags) <= self._ledger.names(image):
            return  # somebody has given it a name of their own
        with contextlib.suppress(EngineRefused):  # used by something that we do not see
            for name in tags or [image]:
                self._engine.call("DELETE", f"/images/{name}")
            self._ledger.forget(image)
            size = f"{known.get('Size', 0) / GIB:.1f} GiB"
            name = ", ".join(tags or known.get("RepoDigests") or [image])
            self._log(
                f"removed the image {name} ({size}), which nobody uses: the container engine's "
                f"disk was {percent:.0f} % full"
            )


def _pull_of_thread() -> str:
    return f"pull {threading.get_ident()}"


def _names(known: Known) -> list[str]:
    return [*(known.get("RepoTags") or []), *(known.get("RepoDigests") or [])]


def _full_percent(folder: str) -> typing.Optional[float]:
    """How full the disk is; None where the engine's folder is not of this host."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return None
    return 100 * (1 - usage.free / usage.total)


class _Look:
    """One workload's search for its image."""

    def __init__(self, images: Images, auth: Auth, say: Say, check: Check) -> None:
        self._images = images
        self._auth = auth
        self._say = say
        self._check = check
        self._remarks: list[str] = []

    def find(self, name: str, pin: typing.Optional[str]) -> Image:
        try:
            known = self._pinned(name, pin) if pin else None
            if known is None:
                known = self._of_name(name)
        except PullFailed as error:
            raise PrepareFailed(str(error)) from error
        return Image(known, _pin(name, known), self._remarks)

    def _pinned(self, name: str, pin: str) -> typing.Optional[Known]:
        """The very image of the version's first replica, None where it cannot be had here."""
        known = self._images.inspect(pin)
        try:
            if known is not None:
                self._images.permit(name if pin.startswith("sha256:") else pin, known, self._auth)
                return known
            if not pin.startswith("sha256:"):
                return self._pulled(pin)
            why = "it was made on another machine"
        except PullFailed as error:
            if pull.DENIED.search(str(error)):
                raise
            why = str(error)
        self._remarks.append(
            f"this replica may run another image than those before it: {pin}, with which this "
            f"version was deployed, cannot be had ({why}), so it takes what {name} is now"
        )
        return None

    def _of_name(self, name: str) -> Known:
        known = self._images.inspect(name)
        if known is not None and "@" in name:
            self._images.permit(name, known, self._auth)
            return known
        if known is not None and not known.get("RepoDigests"):
            return known  # made here: no registry has it
        try:
            return self._pulled(name)
        except PullFailed as error:
            if known is None or not self._may_run(known, error):
                raise
            self._remarks.append(f"{error}; the image {name} that is on this machine is run")
            return known

    def _may_run(self, known: Known, error: PullFailed) -> bool:
        """Whether the image that is here will do for one that its registry did not give."""
        if error.is_answer:
            return self._images.may_be_local(known)
        return self._images.is_anybodys(known) or self._images.may(known, self._auth)

    def _pulled(self, name: str) -> Known:
        return self._images.pulled(name, auth=self._auth, say=self._say, check=self._check)


def _pin(name: str, known: Known) -> str:
    """What means this image for good: its digest in its registry, else its id in this engine."""
    repository = pull.reference(name.partition("@")[0])[0]
    for digest in known.get("RepoDigests") or []:
        if digest.partition("@")[0] == repository:
            return str(digest)
    return str(known["Id"])
