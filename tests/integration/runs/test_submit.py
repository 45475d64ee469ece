from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.storage import default_storage

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.core import crypto
from apps.core.errors import Conflict, Invalid, NotFound, TooLarge
from apps.runs import queries, services, states
from apps.runs.files import uploads
from apps.runs.models import Run
from apps.runs.planning.request import PlanRequest
from tests import factories

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("eager", "gateway")]

YAML = "type: service\nname: hello\ncommands: [serve]\nport: 8000\n"


def submit(alice: Access, project: Project, text: str = YAML, **more: Any) -> Run:
    plan_id = more.pop("plan_id", None)
    request = PlanRequest(text, **more)
    return services.submit(access=alice, project=project, request=request, plan_id=plan_id)


def plan(alice: Access, project: Project, text: str = YAML, **more: Any) -> services.Plan:
    return services.plan(access=alice, project=project, request=PlanRequest(text, **more))


def test_plans_without_changing_anything(alice: Access, project: Project) -> None:
    found = plan(alice, project)

    assert (found.name, found.action, found.url) == (
        "hello",
        "create",
        "http://hello.localhost:8080",
    )
    assert found.offers[0].backend == "local"
    assert not Run.objects.exists()


def test_keeps_the_random_name_of_the_plan(alice: Access, project: Project) -> None:
    text = YAML.replace("name: hello\n", "")
    found = plan(alice, project, text)

    assert submit(alice, project, text, plan_id=found.plan_id).name == found.name


def test_shows_every_problem_with_its_place(alice: Access, project: Project) -> None:
    with pytest.raises(Invalid) as caught:
        plan(alice, project, "type: service\nport: 65536\nreplicas: 4..1\ncommands: [x]\n")

    assert [(d.path, d.line) for d in caught.value.details] == [("port", 2), ("replicas", 3)]


@pytest.mark.parametrize("verb", [plan, submit])
def test_refuses_commands_that_no_shell_can_read(
    alice: Access, project: Project, verb: Callable[..., Any]
) -> None:
    text = "type: service\nport: 1\ncommands:\n  - serve\n  - if true; then\n"

    with pytest.raises(Invalid, match="^line 5: commands.1.: bash cannot read it") as caught:
        verb(alice, project, text)

    assert [(d.path, d.line) for d in caught.value.details] == [("commands[1]", 5)]
    assert not Run.objects.exists()


def test_says_in_which_shell_the_commands_run(alice: Access, project: Project) -> None:
    assert plan(alice, project).shell == "bash"
    assert plan(alice, project, YAML + "shell: sh\n").shell == "sh"


def test_refuses_a_plan_that_is_out_of_date(alice: Access, project: Project) -> None:
    found = plan(alice, project)
    submit(alice, project)

    with pytest.raises(Conflict, match="changed since"):
        submit(alice, project, plan_id=found.plan_id)


def test_does_nothing_where_nothing_differs(alice: Access, project: Project) -> None:
    first = submit(alice, project)
    assert plan(alice, project).action == "none"
    second = submit(alice, project)

    assert (second.pk, second.version) == (first.pk, 1)


def test_replaces_an_active_run_on_another_gateway(
    alice: Access, project: Project, gateway: Any
) -> None:
    first = submit(alice, project)
    Run.objects.filter(pk=first.pk).update(gateway=None)
    assert plan(alice, project).action == "replace"
    second = submit(alice, project)

    first.refresh_from_db()
    # At once, since the agent of its machine never called.
    assert first.state == states.STOPPED
    assert queries.find_run(project, "hello").pk == second.pk


def test_refuses_a_host_name_that_another_project_has(
    alice: Access, project: Project, gateway: Any
) -> None:
    factories.run(factories.project(), name="hello", gateway=gateway)

    with pytest.raises(Invalid, match="hello is taken on this gateway"):
        plan(alice, project)


def test_refuses_a_model_name_that_another_run_has(alice: Access, project: Project) -> None:
    model = "model: {name: llama, format: openai}\nprobes: []\n"
    submit(alice, project, YAML + model)

    with pytest.raises(Invalid, match="llama belongs to run hello"):
        plan(alice, project, YAML.replace("hello", "other") + model)


def test_asks_for_values_that_are_missing(alice: Access, project: Project) -> None:
    with pytest.raises(Invalid, match="HF_TOKEN has no value"):
        plan(alice, project, YAML + "env: [HF_TOKEN]\n")


@pytest.mark.parametrize("value", ["9999", "", "80"])
def test_refuses_another_port_for_the_replica_than_the_one_that_is_called(
    alice: Access, project: Project, value: str
) -> None:
    with pytest.raises(Invalid, match=r"env\.PORT: PORT is the port that is called"):
        plan(alice, project, YAML + "env: [PORT]\n", env={"PORT": value})


def test_takes_the_port_that_is_called_anyway(alice: Access, project: Project) -> None:
    found = plan(alice, project, YAML + "env: [PORT]\n", env={"PORT": "8000"})

    assert any("env.PORT: processes of one machine" in warning for warning in found.warnings)


def test_says_that_a_secret_does_not_exist(alice: Access, project: Project) -> None:
    with pytest.raises(Invalid, match="no such secret: hf"):
        plan(alice, project, YAML + "env: ['A=${{ secrets.hf }}']\n")


def test_stores_no_value_in_clear(alice: Access, project: Project) -> None:
    run = submit(alice, project, YAML + "env: [HF_TOKEN, B=sesame-1]\n", env={"HF_TOKEN": "hf-2"})
    row = Run.objects.filter(pk=run.pk).values().get()

    assert "sesame-1" not in str(row)
    assert "hf-2" not in str(row)
    assert crypto.decrypt(run.secrets)["env"] == {"HF_TOKEN": "hf-2", "B": "sesame-1"}


def test_needs_an_engine_for_an_image(
    alice: Access, project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    monkeypatch.setattr("apps.backends.providers.local.provider.LocalProvider._facts", None)

    with pytest.raises(Invalid, match="needs a container engine"):
        plan(alice, project, "type: service\nimage: nginx\nport: 80\n")


def test_starts_asleep_with_a_range_from_zero(alice: Access, project: Project) -> None:
    text = YAML + "replicas: 0..2\nscaling: {metric: rps, target: 5}\n"
    run = submit(alice, project, text)

    run.refresh_from_db()
    assert (run.state, run.desired_replicas) == (states.IDLE, 0)


@pytest.mark.parametrize("replicas", ["-1", "4..1", "..", "x", "1;rm -rf /", "9" * 40, "3"])
def test_refuses_to_scale_to_nonsense_or_out_of_its_range(
    alice: Access, project: Project, replicas: str
) -> None:
    run = submit(alice, project, YAML + "replicas: 0..2\nscaling: {metric: rps, target: 5}\n")

    with pytest.raises(Invalid):
        services.scale(access=alice, run=run, replicas=replicas)


def test_deletes_only_what_is_over(alice: Access, project: Project) -> None:
    run = submit(alice, project)

    with pytest.raises(Conflict, match="stop it first"):
        services.delete(access=alice, run=run)


AT = 1_600_000_000


TWO = [("a.txt", b"one", AT), ("b.txt", b"two", AT)]


def tarred(*files: tuple[str, bytes, int]) -> bytes:
    """Return a tar.gz of files with their contents and times."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content, time in files:
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(content), time
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def test_stores_an_upload_under_its_own_hash(project: Project, settings: Any) -> None:
    content = tarred(("a.txt", b"one", AT), ("b.txt", b"two", AT))
    saved = uploads.save(project=project, chunks=[content[:5], content[5:]])

    assert saved.blob_hash == hashlib.sha256(content).hexdigest()
    assert uploads.save(project=project, chunks=[content]).pk == saved.pk
    assert uploads.find(project=project, digest=saved.hash) == saved
    assert uploads.find(project=project, digest=saved.blob_hash) == saved


@pytest.mark.parametrize(
    "files",
    [
        [("b.txt", b"two", AT + 60), ("./a.txt", b"one", 0)],
        [("a.txt", b"none", AT), ("b.txt", b"two", AT), ("a.txt", b"one", AT)],
    ],
)
def test_stores_the_same_contents_once(project: Project, files: list[Any]) -> None:
    first = uploads.save(project=project, chunks=[tarred(*TWO)])
    (blob,) = default_storage.listdir(f"uploads/{project.pk}")[1]

    assert uploads.save(project=project, chunks=[tarred(*files)]) == first
    assert default_storage.listdir(f"uploads/{project.pk}")[1] == [blob]


@pytest.mark.parametrize(
    "files",
    [
        [("a.txt", b"one", AT)],
        [("a.txt", b"two", AT), ("b.txt", b"one", AT)],
        [("a.txt", b"one", AT), ("c.txt", b"two", AT)],
        [("a.txt", b"one", AT), ("b.txt/b.txt", b"two", AT)],
    ],
)
def test_stores_other_contents_apart(project: Project, files: list[Any]) -> None:
    first = uploads.save(project=project, chunks=[tarred(*TWO)])

    assert uploads.save(project=project, chunks=[tarred(*files)]).hash != first.hash


def test_refuses_an_upload_that_is_no_archive_or_too_large(project: Project, settings: Any) -> None:
    settings.DSTACK_UPLOAD_LIMIT_MB = 1
    with pytest.raises(Invalid):
        uploads.save(project=project, chunks=[b"plain"])
    with pytest.raises(TooLarge):
        uploads.save(project=project, chunks=[b"\x1f\x8b", b"x" * 2**20])
    with pytest.raises(TooLarge, match="Unpacked"):
        uploads.save(project=project, chunks=[tarred(("zeros", bytes(5 * 2**20), AT))])
    with pytest.raises(Invalid, match="not a sound"):
        uploads.save(project=project, chunks=[tarred(("a", b"x", AT))[:-20]])


def test_does_not_find_the_upload_of_another_project(alice: Access, project: Project) -> None:
    saved = uploads.save(project=factories.project(), chunks=[tarred(("a", b"x", AT))])

    with pytest.raises(NotFound):
        plan(alice, project, upload=saved.hash)
