"""Forms find their model whatever client wrote them, and reach the replica unchanged."""

from __future__ import annotations

import asyncio
import hashlib
import io
import itertools
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import pytest_asyncio
import requests

from gateway.schema import Model
from tests.fakes.control_plane_gateway import key, service
from tests.fakes.target import Target
from tests.integration.gateway.harness import ALICE, Gateway, hello
from tests.programs import require_program

pytestmark = pytest.mark.asyncio(loop_scope="module")

WHISPER, OTHER, PLAIN, TGI = "openai/whisper é", "text", "plain", "tgi"
PATH = "/v1/audio/transcriptions"
SOUND = b'RIFF\r\n--\r\nname="model"\r\n\r\ntext\r\n' * 20_000
FIELDS = {"model": WHISPER, "response_format": "text", "language": "en"}
MARK = "----b'()+_,-./:=?"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def models(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[tuple[Gateway, Target]]:
    """`WHISPER` reads its forms; a key of Alice's opens the model `text` as well."""
    async with hello(tmp_path_factory.mktemp("forms")) as (gateway, targets):
        address = targets[0].address
        await gateway.control.applied(
            await gateway.control.put(
                service("whisper", address, model=Model(name=WHISPER, prefix="/forms/v1")),
                service("other", address, model=Model(name=OTHER, prefix="/wrong")),
                service("plain", address, model=Model(name=PLAIN)),
                service("tgi", address, model=Model(name=TGI, format="tgi")),
                key("dsk_s_plain", endpoints=["e-plain"]),
            )
        )
        yield gateway, targets[0]


@pytest.fixture
def gateway(models: tuple[Gateway, Target]) -> Gateway:
    return models[0]


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    file = tmp_path / "a b.wav"
    file.write_bytes(SOUND)
    return file


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def told(answer: str) -> dict[str, Any]:
    """What the replica read of a form, as its answer says."""
    return dict(json.loads(json.loads(answer)["text"]))


FILE_READ = ["a b.wav", sha256(SOUND)]


@pytest.mark.parametrize("order", [*itertools.permutations(["model", "response_format", "file"])])
async def test_takes_curl_in_any_order(gateway: Gateway, sound: Path, order: Any) -> None:
    curl = require_program("curl", package="curl")
    parts = {
        "model": f"model={WHISPER}",
        "response_format": "response_format=text",
        "file": f"file=@{sound}",
    }
    child = await asyncio.create_subprocess_exec(
        *(curl, "-sS", gateway.url + PATH, "-H", f"Authorization: Bearer {ALICE}"),
        *itertools.chain.from_iterable(("-F", parts[name]) for name in order),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await child.communicate()

    expected = {"model": WHISPER, "response_format": "text", "file": FILE_READ}
    assert list(told(out.decode()).items()) == [(name, expected[name]) for name in order]


@pytest.mark.parametrize(
    "more",
    [
        ("-H", "Expect: 100-continue"),
        ("-H", "Transfer-Encoding: chunked"),
        ("-0",),
        ("-H", "Expect:"),
    ],
)
async def test_takes_curl_in_its_other_ways(gateway: Gateway, sound: Path, more: Any) -> None:
    curl = require_program("curl", package="curl")
    child = await asyncio.create_subprocess_exec(
        *(curl, "-sS", gateway.url + PATH, "-H", f"Authorization: Bearer {ALICE}", *more),
        *("-m", "20", "-F", f"file=@{sound}", "-F", f"model={WHISPER}", "-F", "language=en"),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await child.communicate()

    assert told(out.decode()) == {"file": FILE_READ, "model": WHISPER, "language": "en"}


def client(gateway: Gateway) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=ALICE, max_retries=0)


@pytest.mark.parametrize(
    "more",
    [{}, {"language": "en"}, {"response_format": "json", "prompt": "name", "temperature": 0.2}],
)
@pytest.mark.parametrize("verb", ["transcriptions", "translations"])
async def test_takes_the_official_clients_audio(
    gateway: Gateway, sound: Path, verb: str, more: dict[str, Any]
) -> None:
    def ask() -> Any:
        audio = getattr(client(gateway).audio, verb)
        with sound.open("rb") as file:
            return audio.create(model=WHISPER, file=file, extra_body=more)

    answer = await asyncio.to_thread(ask)

    found = dict(json.loads(answer.text))
    assert found == {
        "model": WHISPER,
        "file": FILE_READ,
        **{name: str(value) for name, value in more.items()},
    }


async def test_takes_the_official_clients_image_edits(gateway: Gateway) -> None:
    def ask() -> str:
        raw = client(gateway).images.with_raw_response
        image, mask = ("a.png", SOUND, "image/png"), ("m.png", b"mask", "image/png")
        return raw.edit(
            model=WHISPER, image=image, mask=mask, prompt="a cat", n=1, size="256x256"
        ).text

    found = told(await asyncio.to_thread(ask))

    assert found["image"] == ["a.png", sha256(SOUND)]
    assert found["mask"] == ["m.png", sha256(b"mask")]
    assert (found["model"], found["prompt"], found["n"]) == (WHISPER, "a cat", "1")


async def test_names_the_field_that_an_upload_lacks(gateway: Gateway) -> None:
    def ask() -> None:
        client(gateway).files.create(file=("a.jsonl", b"{}"), purpose="batch")

    with pytest.raises(openai.BadRequestError) as refused:
        await asyncio.to_thread(ask)
    assert (refused.value.code, refused.value.param) == ("missing_model", "model")


async def test_takes_the_forms_of_python(gateway: Gateway) -> None:
    headers = {"Authorization": f"Bearer {ALICE}"}
    files: Any = {"file": ("é.wav", io.BytesIO(SOUND), "audio/wav")}

    def ask(library: Any) -> str:
        files["file"][1].seek(0)
        url = gateway.url + PATH
        return str(library.post(url, headers=headers, data=FIELDS, files=files, timeout=30).text)

    for library in (requests, httpx):
        found = told(await asyncio.to_thread(ask, library))
        assert found == {**FIELDS, "file": ["é.wav", sha256(SOUND)]}


NODE = """
const form = new FormData();
form.set("model", process.argv[3]);
form.set("language", "en");
form.set("file", new Blob(["x".repeat(300000)]), "a.wav");
form.set("response_format", "text");
const headers = {authorization: `Bearer ${process.argv[4]}`};
const answer = await fetch(process.argv[2], {method: "POST", headers, body: form});
console.log(await answer.text());
"""


async def test_takes_the_form_of_node(gateway: Gateway, tmp_path: Path) -> None:
    node = require_program("node", package="nodejs")
    script = tmp_path / "form.mjs"
    script.write_text(NODE)
    child = await asyncio.create_subprocess_exec(
        *(node, str(script), gateway.url + PATH, WHISPER, ALICE), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await child.communicate()

    assert told(out.decode()) == {**FIELDS, "file": ["a.wav", sha256(b"x" * 300_000)]}


def form(*parts: tuple[str, bytes]) -> bytes:
    mark = f"--{MARK}".encode()
    written = (
        mark + f"\r\nContent-Disposition: form-data; {names}".encode() + b"\r\n\r\n" + value
        for names, value in parts
    )
    return b"".join(each + b"\r\n" for each in written) + mark + b"--\r\n"


async def send(gateway: Gateway, body: Any, token: str = ALICE, kind: str = "") -> Any:
    return await gateway.call(
        PATH,
        host="gateway.localhost",
        token=token,
        method="POST",
        data=body,
        headers={"Content-Type": kind or f'multipart/form-data; boundary="{MARK}"'},
    )


@pytest.mark.parametrize("chunked", [True, False])
async def test_streams_a_large_file_on_as_it_came(gateway: Gateway, chunked: bool) -> None:
    """100 MB before `model`, cut at odd places, in a sidecar that stays small."""
    file = os.urandom(1_000_003) * 99
    body = form(('name="file"; filename=a', file), ("name=model", PLAIN.encode()))

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 777_777):
            yield body[start : start + 777_777]

    answer = await send(gateway, pieces() if chunked else body)

    assert (answer.status, answer.json["path"]) == (200, PATH)
    assert (answer.json["length"], answer.json["sha256"]) == (len(body), sha256(body))
    assert gateway.sidecar is not None
    status = Path(f"/proc/{gateway.sidecar.pid}/status").read_text()
    peak_kib = next(int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line)
    assert peak_kib < 300_000


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (form(("name=model", b"plain"), ('name="response_format"', b"text")), ""),
        (b'{"model": "text"}\r\n' + form(("name=model", b"plain")), ""),
        (form(("name=model; filename=model", b"text"), ("name=model", b"plain")), ""),
        (b"response_format=text&model=plain", "application/x-www-form-urlencoded"),
        (b'{"model": "plain"}', "application/x-www-form-urlencoded"),
    ],
)
async def test_sends_a_form_to_the_model_that_it_names(
    gateway: Gateway, body: bytes, kind: str
) -> None:
    answer = await send(gateway, body, kind=kind)

    assert (answer.status, answer.json["path"]) == (200, PATH)
    assert answer.json["sha256"] == sha256(body)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (form(("name=model", b"plain"), ("name=model", b"text")), ""),
        (form(("name=model", b"plain"), ("name=x; name*=utf-8''model", b"text")), ""),
        (form(("name=model", b"plain"))[:-8], ""),
        (form(("name=model", b"plain")).replace(b"\r\n", b"\n"), ""),
        (form(("name=model", b"plain")), "multipart/form-data"),
        (b"model=plain&model=text", "application/x-www-form-urlencoded"),
    ],
)
async def test_says_why_a_form_is_refused(gateway: Gateway, body: bytes, kind: str) -> None:
    answer = await send(gateway, body, kind=kind)

    assert (answer.status, answer.json["error"]["code"]) == (400, "invalid_form")
    assert answer.json["error"]["param"] == "model"


async def test_opens_no_model_by_another_field(gateway: Gateway) -> None:
    """A key that opens `plain` alone."""
    asked = form(("name=model", b"text"), ("name=x", b"plain"))
    answer = await send(gateway, asked, "dsk_s_plain")

    assert (answer.status, answer.json["error"]["code"]) == (404, "model_not_found")


async def test_takes_no_form_for_tgi(gateway: Gateway) -> None:
    answer = await send(gateway, form(("name=model", TGI.encode())))

    assert (answer.status, answer.json["error"]["code"]) == (415, "unsupported_media_type")
    assert answer.body.endswith(b"}\n")
    assert "JSON" in answer.json["error"]["message"]
