from __future__ import annotations

from dataclasses import replace

import pytest

from apps.agent.workloads import mounts
from apps.backends.base import Gpu, Hardware, Offer
from apps.offers import executors
from apps.offers.decide import refusal
from apps.specs.parse import parse

ENGINE = Offer(
    backend="local",
    region="local",
    instance="box",
    price_usd_per_hour=0.0,
    shared=True,
    hardware=Hardware(cpus=2, memory_mib=4096, disk_mib=20_000),
    executors=("docker", "process"),
    pythons=("3.12", "3.11"),
    images=("nginx:1", "team/base:2"),
)
NO_ENGINE = replace(ENGINE, executors=("process",), images=())
CLOUD = replace(ENGINE, backend="aws", executors=("docker",), images=())
GPUS = replace(CLOUD, hardware=replace(CLOUD.hardware, gpu=Gpu("A100", 81920, 1)))
BASH, SH = replace(NO_ENGINE, shells=("bash", "sh")), replace(NO_ENGINE, shells=("sh",))
BASE = "type: service\nport: 8000\ncommands: [serve]\n"
UNBUILT = "dstack-web/base"


@pytest.mark.parametrize(
    ("offer", "more", "base_image", "expected"),
    [
        (ENGINE, "", UNBUILT, "process"),
        (ENGINE, "python: '3.11'", UNBUILT, "process"),
        (ENGINE, "image: a/b", UNBUILT, "docker"),
        (ENGINE, "", "registry.test/base", "docker"),
        (ENGINE, "", "registry.test:5000/base:1", "docker"),
        (ENGINE, "", "localhost:5000/base:1", "docker"),
        (ENGINE, "", "localhost/base", "process"),
        (ENGINE, "", "team/base:2", "docker"),
        (ENGINE, "", "team/base", "process"),  # that is team/base:latest
        (replace(ENGINE, images=("dstack-web/base:latest",)), "", UNBUILT, "docker"),
        (replace(ENGINE, images=("localhost/dstack-web/base:latest",)), "", UNBUILT, "docker"),
        (NO_ENGINE, "", "registry.test/base", "process"),
        (NO_ENGINE, "", UNBUILT, "process"),
        # A machine that knows no processes: its own image may hold the base image.
        (CLOUD, "", UNBUILT, "docker"),
    ],
)
def test_runs_in_a_container_only_of_an_image_that_can_be_had(
    offer: Offer, more: str, base_image: str, expected: str
) -> None:
    spec = parse(BASE + more)

    assert executors.executor(offer, spec, base_image=base_image) == expected


@pytest.mark.parametrize(
    ("offer", "more", "base_image", "reason"),
    [
        (ENGINE, "", UNBUILT, None),
        (ENGINE, "python: '3.9'", UNBUILT, "python: 3.9 is not there (found 3.12, 3.11)"),
        (ENGINE, "python: '3.9'", "registry.test/base", None),
        (ENGINE, "python: '3.12'", UNBUILT, None),
        (
            ENGINE,
            "privileged: true",
            UNBUILT,
            "privileged: acts in a container only, and there is no base image: give an `image`",
        ),
        (ENGINE, "privileged: false", UNBUILT, None),
        (ENGINE, "privileged: true", "registry.test/base", None),
        (ENGINE, "privileged: true\nimage: a", UNBUILT, None),
        (
            NO_ENGINE,
            "user: '1000'",
            UNBUILT,
            "user: acts in a container only, and no container engine answers there: "
            "give an `image`",
        ),
        (ENGINE, "resources: {shm_size: 1GB}", UNBUILT, None),
        (NO_ENGINE, "image: a", UNBUILT, "image: needs a container engine, and none answers there"),
        (
            GPUS,
            "",
            UNBUILT,
            "image: needs one, since services with GPUs are containers there, and the base image "
            "dstack-web/base names no registry",
        ),
        (
            GPUS,
            "",
            "",
            "image: needs one, since services with GPUs are containers there, and there is no base "
            "image",
        ),
        (GPUS, "image: a", UNBUILT, None),
        (GPUS, "", "registry.test/base", None),
        (replace(GPUS, images=("dstack-web/base:latest",)), "", UNBUILT, None),
        (replace(GPUS, executors=("docker", "process")), "", UNBUILT, None),
        (GPUS, "", None, None),
    ],
)
def test_says_what_a_process_cannot_be_given(
    offer: Offer, more: str, base_image: str | None, reason: str | None
) -> None:
    assert refusal(offer, parse(BASE + more), base_image=base_image) == reason


@pytest.mark.parametrize(
    ("offer", "gpu_base_image", "is_refused"),
    [
        (GPUS, "registry.test/cuda:1", False),
        (GPUS, "cuda", True),
        (GPUS, "", True),
        (
            replace(GPUS, hardware=replace(GPUS.hardware, gpu=Gpu("MI300X", 196608, 1, "amd"))),
            *("registry.test/cuda:1", True),
        ),
    ],
)
def test_takes_gpus_where_there_is_an_image_for_them(
    offer: Offer, gpu_base_image: str, is_refused: bool
) -> None:
    """What the plan lets through is what runs: with the default settings, too."""
    spec, images = parse(BASE), {"base_image": UNBUILT, "gpu_base_image": gpu_base_image}
    why = refusal(offer, spec, **images)

    assert (why is not None) == is_refused
    can_start = executors.can_be_had(executors.container_image(offer, spec, **images), offer)
    assert can_start != is_refused


@pytest.mark.parametrize(
    ("offer", "more", "words"),
    [
        (ENGINE, "", ["Runs as a process of box, with its Python"]),
        (ENGINE, "image: a", []),
        (NO_ENGINE, "", []),
        (NO_ENGINE, "resources: {shm_size: 1GB}", []),
        (
            replace(NO_ENGINE, isolation="user"),
            "resources: {shm_size: 1GB}",
            ["Not isolated", "resources.shm_size: does not act here"],
        ),
        (replace(NO_ENGINE, unbounded="Permission denied"), "", ["Not bounded: it may use all"]),
        (replace(ENGINE, unbounded="Permission denied"), "image: a", []),
        (NO_ENGINE, "env: {PORT: 8000}", ["env.PORT: processes of one machine each get a port"]),
        (ENGINE, "image: a\nenv: {PORT: 8000}", []),
        (
            ENGINE,
            "registry_auth: {username: a, password: b}",
            ["Runs as a process", "registry_auth: is for an `image`"],
        ),
    ],
)
def test_remarks_on_what_a_person_may_not_expect(offer: Offer, more: str, words: list[str]) -> None:
    said = list(executors.remarks(offer, parse(BASE + more), base_image=UNBUILT))

    assert len(said) == len(words)
    assert all(text.startswith(begin) for text, begin in zip(said, words, strict=True))


@pytest.mark.parametrize(
    ("offer", "more", "expected"),
    [
        (BASH, "", "bash"),
        (SH, "", "sh"),
        (NO_ENGINE, "", "bash where the machine has it, else sh"),
        (replace(ENGINE, shells=("bash", "sh")), "", "bash"),
        (ENGINE, "image: a/b", "bash where the image has it, else sh"),
        (CLOUD, "", "bash where the image has it, else sh"),
        (None, "image: a/b", "bash where the image has it, else sh"),
        (BASH, "shell: sh", "sh"),
        (ENGINE, "image: a/b\nshell: /bin/zsh", "/bin/zsh"),
        (BASH, "entrypoint: cowsay", None),
    ],
)
def test_says_in_which_shell_the_commands_run(
    offer: Offer | None, more: str, expected: str | None
) -> None:
    spec = parse(BASE + more)

    assert executors.shell(offer, spec, base_image=UNBUILT) == expected


def test_says_no_shell_for_the_images_own_command() -> None:
    spec = parse("type: service\nport: 8000\nimage: a/b\n")

    assert executors.shell(ENGINE, spec, base_image=UNBUILT) is None


BIG = Hardware(cpus=8, memory_mib=32_768, disk_mib=200_000)
CUDA = "registry.test/cuda:1"
A100 = Gpu(name="A100", memory_mib=81920, count=1)
WITH_GPU = replace(CLOUD, hardware=replace(CLOUD.hardware, gpu=A100))


@pytest.mark.parametrize(
    ("offer", "more", "base_image", "expected", "words"),
    [
        (WITH_GPU, "", UNBUILT, CUDA, "Runs in a container of registry.test/cuda:1, since"),
        (WITH_GPU, "", "", CUDA, "Runs in a container of registry.test/cuda:1, since"),
        (WITH_GPU, "", "registry.test/own", "registry.test/own", "Runs in a container of reg"),
        (WITH_GPU, "image: a/b", UNBUILT, "a/b", ""),
        (
            replace(WITH_GPU, hardware=replace(BIG, gpu=replace(A100, vendor="amd"))),
            *("", UNBUILT, UNBUILT, "Cannot start on box, it seems: the service has no `image`"),
        ),
        # Its own Python will do.
        (
            replace(WITH_GPU, executors=("docker", "process")),
            *("", UNBUILT, UNBUILT, "Runs as a process of box, with its Python"),
        ),
        (CLOUD, "", UNBUILT, UNBUILT, "Cannot start on box, it seems: the service has no `image`"),
    ],
)
def test_a_machine_with_gpus_gets_an_image_with_cuda(
    offer: Offer, more: str, base_image: str, expected: str, words: str
) -> None:
    spec, images = parse(BASE + more), {"base_image": base_image, "gpu_base_image": CUDA}

    assert executors.container_image(offer, spec, **images) == expected
    said = list(executors.remarks(offer, spec, **images))
    assert [text[: len(words)] for text in said] == ([words] if words else [])


OWN = replace(ENGINE, shared=False, hardware=BIG)
OPEN = replace(NO_ENGINE, isolation="user")


@pytest.mark.parametrize(
    ("offer", "more", "listed", "reason"),
    [
        (OWN, "volumes: ['/srv/a:/a']", (), None),
        (ENGINE, "volumes: ['/srv/a:/a']", (), "is not open to services on a machine that several"),
        (ENGINE, "volumes: ['/srv/a:/a']", ("/srv/a/",), None),
        (ENGINE, "volumes: ['/srv//a/:/a']", ("/srv/a",), None),
        # Whoever writes to /srv/a could put a link to anywhere in its place.
        (ENGINE, "volumes: ['/srv/a/b:/a']", ("/srv/a",), "/srv/a/b is not open"),
        (ENGINE, "volumes: ['/srv:/a']", ("/srv/a",), "/srv is not open"),
        (ENGINE, "volumes: ['/:/a']", ("/srv/a",), "/ cannot be had of any machine"),
        (ENGINE, "volumes: ['/etc:/a']", ("/etc",), "/etc cannot be had of any machine"),
        (OWN, "volumes: ['//etc/ssl/:/a']", (), "because of /etc: give a folder such as"),
        (OWN, "volumes: ['/var:/a']", (), "/var cannot be had of any machine, because of /var/l"),
        (OWN, "volumes: ['/root:/a']", (), "because of /root/.ssh"),
        (OWN, "volumes: ['/root/models:/a']", (), None),
        (OWN, "volumes: ['/etcetera:/a']", (), None),
        (OWN, "volumes: [{instance_path: /etc, path: /a, optional: true}]", (), None),
        (ENGINE, "volumes: [{instance_path: /x, path: /a, optional: true}]", (), None),
        (OPEN, "volumes: ['/srv/a:/a']", ("/srv/a",), "are not kept apart there"),
    ],
)
def test_gives_folders_of_shared_machines_only_where_they_are_listed(
    offer: Offer, more: str, listed: tuple[str, ...], reason: str | None
) -> None:
    said = refusal(offer, parse(BASE + more), volume_paths=listed)

    assert (said is None) if reason is None else (said is not None and reason in said)


def test_what_no_machine_gives_is_what_its_agent_refuses() -> None:
    assert set(executors.CLOSED) == set(mounts.CLOSED)


def test_a_version_of_python_is_not_promised_in_a_container() -> None:
    images = {"base_image": UNBUILT, "gpu_base_image": CUDA}
    first, _ = executors.remarks(WITH_GPU, parse(BASE + "python: '3.12'"), **images)

    assert first == f"python: does not act here; a container has the Python of its image, {CUDA}."
