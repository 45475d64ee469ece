from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from apps.agent import wire
from apps.agent.docker import working_folder

IMAGE = {"WorkingDir": "/srv/app"}


@pytest.fixture
def upload(tmp_path: Path) -> Path:
    """A folder as the command line sends it: the service file, and a program."""
    for name in ("serve.dstack.yml", "serve.py", "bin/run"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    return tmp_path


@pytest.mark.parametrize(
    ("fields", "image", "folder"),
    [
        # The image's own command, however it is given.
        ({}, IMAGE, "/srv/app"),
        ({}, {}, "/"),
        ({}, {"WorkingDir": ""}, "/"),
        ({}, {"WorkingDir": "srv"}, "/srv"),
        # Commands of the person's.
        ({"commands": ["python serve.py"]}, IMAGE, "/workflow"),
        ({"commands": ["true"]}, {}, "/workflow"),
        # An entry point: of the image, or of the uploaded files.
        ({"entrypoint": "./run-me"}, IMAGE, "/srv/app"),
        ({"entrypoint": "./run-me", "commands": ["--port", "8000"]}, IMAGE, "/srv/app"),
        ({"entrypoint": "./serve.py"}, IMAGE, "/workflow"),
        ({"entrypoint": "bin/run --port 8000"}, IMAGE, "/workflow"),
        ({"entrypoint": "python serve.py"}, IMAGE, "/workflow"),
        ({"entrypoint": "python app.py"}, IMAGE, "/srv/app"),
        ({"entrypoint": "/usr/bin/server --port 8000"}, IMAGE, "/srv/app"),
        ({"entrypoint": "python ../serve.py"}, IMAGE, "/srv/app"),
        ({"entrypoint": f"python {'x' * 300}"}, IMAGE, "/srv/app"),
        ({"entrypoint": "python", "commands": ["serve.py"]}, IMAGE, "/workflow"),
        ({"entrypoint": "sh -c", "commands": ["pwd"]}, IMAGE, "/workflow"),
        # What is written counts.
        ({"working_dir": "/data"}, IMAGE, "/data"),
        ({"working_dir": "/data/../data/."}, IMAGE, "/data"),
        ({"working_dir": "sub"}, IMAGE, "/workflow/sub"),
        ({"working_dir": "sub", "commands": ["a"]}, IMAGE, "/workflow/sub"),
        ({"working_dir": "."}, IMAGE, "/workflow"),
        ({"working_dir": "~/x"}, IMAGE, "/root/x"),
        ({"working_dir": "~"}, {"Env": ["HOME=/home/app"]}, "/home/app"),
        ({"working_dir": "~", "user": "1000"}, {}, "/"),
        ({"working_dir": "~/x", "env": {"HOME": "/h"}}, IMAGE, "/h/x"),
    ],
)
def test_with_an_upload(
    upload: Path, fields: dict[str, Any], image: dict[str, Any], folder: str
) -> None:
    spec = wire.WorkloadSpec(id="w", name="w", image="i", upload_hash="a", **fields)

    assert working_folder.working_dir(spec, image, upload) == folder


@pytest.mark.parametrize(
    ("fields", "folder"),
    [
        ({}, "/srv/app"),
        ({"commands": ["a"]}, "/srv/app"),
        ({"entrypoint": "./run-me"}, "/srv/app"),
        ({"working_dir": "sub"}, "/srv/app/sub"),
        ({"working_dir": "/data"}, "/data"),
    ],
)
def test_without_an_upload_it_is_the_images(fields: dict[str, Any], folder: str) -> None:
    spec = wire.WorkloadSpec(id="w", name="w", image="i", **fields)

    assert working_folder.working_dir(spec, IMAGE, None) == folder
