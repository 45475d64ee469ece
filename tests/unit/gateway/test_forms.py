"""Which model a form names: whatever the order of its fields and wherever its pieces are cut."""

from __future__ import annotations

import pytest

from gateway.openai import forms

TYPE = "multipart/form-data; boundary=b"
FILE = ('name="file"; filename="a.wav"', b"RIFF\r\n--c\r\n--\r\n")
MODEL, FORMAT = ('name="model"', b"M"), ('name="response_format"', b"text")
LANGUAGE, PROMPT = ('name="language"', b"en"), ('name="prompt"', b'name="model"\r\n\r\nX')


def form(*parts: tuple[str, bytes], boundary: str = "b", end: bytes = b"--\r\n") -> bytes:
    mark = b"--" + boundary.encode()
    written = (
        mark + f"\r\nContent-Disposition: form-data; {names}".encode() + b"\r\n\r\n" + value
        for names, value in parts
    )
    return b"".join(each + b"\r\n" for each in written) + mark + end


def read(body: bytes, content_type: str = TYPE, *, step: int = 1_000_000) -> str | None:
    pieces = (body[start : start + step] for start in range(0, len(body), step))
    return forms.model(pieces, content_type)


@pytest.mark.parametrize(
    "parts",
    [
        (MODEL, FILE),
        (FILE, MODEL),
        (MODEL, FORMAT, FILE),
        (MODEL, FORMAT, LANGUAGE, FILE),
        (FORMAT, MODEL, FILE),
        (FILE, FORMAT, MODEL, LANGUAGE),
        (FILE, PROMPT, MODEL, FORMAT),
        (MODEL, FILE, MODEL),
        (MODEL, ('name="model[]"', b"N"), ('name="Model"', b"N"), ('name=" model"', b"N")),
        (MODEL, ('name="x"; filename="model"', b"N"), ('name="x; name=model"', b"N")),
        (('name="model"; filename="model"', b"N"), MODEL),
        (MODEL, ("name=model; filename=a", b"N")),
        (("name=model", b"M"),),
        (("name = model ;x=y", b"M"),),
        (('NAME="model"', b"M"),),
        (('x="; name=x"; name="model"', b"M"),),
        (MODEL, ("name=\"x\"; filename*=utf-8''model", b"N")),
        (MODEL, ('name="x"; filename="a; name*=model"', b"N")),
    ],
)
@pytest.mark.parametrize("step", [1, 7, 1_000_000])
def test_finds_the_field_in_any_order(parts: tuple[tuple[str, bytes], ...], step: int) -> None:
    assert read(form(*parts), step=step) == "M"


@pytest.mark.parametrize(
    ("boundary", "written"),
    [
        ("b", '"b"'),
        ("b", "b; charset=utf-8"),
        ("----WebKitFormBoundaryAbC09", "----WebKitFormBoundaryAbC09"),
        ("a b'()+_,-./:=?c", '"a b\'()+_,-./:=?c"'),
        ('q"q', '"q\\"q"'),
        ("[.*+?^$", '"[.*+?^$"'),
        ("-", "-"),
        ("x" * 70, "x" * 70),
    ],
)
@pytest.mark.parametrize("step", [1, 1_000_000])
def test_knows_every_boundary(boundary: str, written: str, step: int) -> None:
    body = form(FORMAT, MODEL, LANGUAGE, boundary=boundary)

    assert read(body, f"Multipart/Form-Data; Boundary={written}", step=step) == "M"


@pytest.mark.parametrize(
    "body",
    [
        b"\r\n" + form(MODEL),
        b"A preamble.\r\n--x\r\n\r\n" + form(MODEL),
        form(MODEL, end=b"--"),
        form(MODEL, end=b"--\r\nAn epilogue\r\n" + form(("name=model", b"N"))),
        form(MODEL).replace(b"form-data", b"FORM-DATA").replace(b"-D", b"-d"),
        form(MODEL).replace(b"\r\n\r\n", b"\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"),
        form(MODEL).replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: 8BIT\r\n\r\n"),
        form(FILE, MODEL).replace(b"--b\r\n", b"--b \t\r\n").replace(b"--b \t\r\n", b"--b\r\n", 1),
        form(("name=model", b"M"), *[FORMAT] * 1999),
    ],
)
def test_reads_what_else_may_stand_in_a_form(body: bytes) -> None:
    assert read(body) == read(body, step=1) == "M"


@pytest.mark.parametrize(
    ("body", "content_type", "said"),
    [
        (form(MODEL, ("name=model", b"N")), TYPE, "several models"),
        (form(MODEL, FILE, ("name=model", b"")), TYPE, "several models"),
        (form(("name*=utf-8''model", b"M")), TYPE, r"name\*"),
        (form(MODEL, ("name=x; NAME*=utf-8''model", b"N")), TYPE, r"name\*"),
        (form(MODEL, ("name=model; filename*=utf-8''a", b"N")), TYPE, "file name"),
        (form(MODEL)[:-6], TYPE, "breaks off"),
        (form(MODEL).replace(b"\r\n", b"\n"), TYPE, "CRLF"),
        (b"x" * 70_000 + b"\r\n" + form(MODEL), TYPE, "does not begin"),
        (form(MODEL), "multipart/form-data", "names no boundary"),
        (form(MODEL), "multipart/form-data; boundary=", "names no boundary"),
        (form(MODEL), "multipart/form-data; boundary=é€", "plain ASCII"),
        (form(MODEL), f"multipart/form-data; boundary={'x' * 300}", "cannot be read"),
        (form(MODEL), "multipart/form-data; boundary=other", "breaks off"),
        (form(*[FORMAT] * 2001), TYPE, "more than 2000 parts"),
        (form(("name=model", b"\xff")), TYPE, "not UTF-8"),
        (form(("name=model", b"n" * 5000)), TYPE, "longer than"),
        (form(("name=model\r\nContent-Transfer-Encoding: base64", b"TQ==")), TYPE, "Encoding"),
        (form((f"name=model{chr(13)}\nContent-Disposition: x", b"M")), TYPE, "twice"),
        (form((f"name=x; y={'y' * 70_000}", b"M")), TYPE, "cannot be read"),
        (b"--b\r\nno header\r\n\r\nM\r\n--b--", TYPE, "cannot be read"),
        (b"&a=b" * 3000, "application/x-www-form-urlencoded", "more than 2000 fields"),
        (b"model=M&model=N", "application/x-www-form-urlencoded", "several models"),
        (b"model=%ff", "application/x-www-form-urlencoded", "not UTF-8"),
    ],
)
def test_refuses_what_two_could_read_differently(body: bytes, content_type: str, said: str) -> None:
    with pytest.raises(forms.BadForm, match=said):
        read(body, content_type)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b"model=M", "M"),
        (b"a=b&model=M&c", "M"),
        (b"model=M&model=M", "M"),
        (b"mod%65l=meta%2FLlama+3%20%C3%A9", "meta/Llama 3 é"),
        (b"xmodel=N&model2=N&model=M", "M"),
        (b"model", None),
        (b"model=", None),
        (b"a=model=M;model=M", None),
        (b"", None),
    ],
)
@pytest.mark.parametrize("step", [1, 1000])
def test_reads_the_urlencoded_too(body: bytes, found: str | None, step: int) -> None:
    assert read(body, "application/x-www-form-urlencoded", step=step) == found


@pytest.mark.parametrize("body", [form(FILE, FORMAT), form(("name=model", b"")), b"--b--\r\n"])
def test_finds_none_where_there_is_none(body: bytes) -> None:
    assert read(body) is None
