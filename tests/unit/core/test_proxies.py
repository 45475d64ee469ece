from __future__ import annotations

import pytest

from apps.core.http import proxies

OTHER = "http://dstack.example:3000"
CORP = "http://proxy.corp:3128"
# Every way in which an environment names a proxy for everything.
EVERYWHERE = [
    {name: value}
    for value in (CORP, "socks5://proxy.corp:1080", "proxy.corp:3128", "nonsense://")
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")
]


@pytest.mark.parametrize("environ", EVERYWHERE)
@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:3000",
        "http://127.9.8.7",
        "http://127.1:3000",
        "http://[::1]:3000",
        "http://[::ffff:127.0.0.1]:3000",
        "http://0.0.0.0:3000",
        "http://localhost:3000",
        "http://LOCALHOST",
        "http://localhost.:3000",
        "http://tour.localhost:8080",
    ],
)
def test_never_asks_this_machine_through_a_proxy(url: str, environ: dict[str, str]) -> None:
    assert proxies.choose(url, environ) is None


@pytest.mark.parametrize(
    ("url", "environ", "chosen"),
    [
        (OTHER, {}, None),
        (OTHER, {"HTTP_PROXY": CORP}, ("HTTP_PROXY", CORP)),
        (OTHER, {"http_proxy": "proxy.corp:3128"}, ("http_proxy", CORP)),
        (OTHER, {"HTTPS_PROXY": CORP}, None),
        ("https://dstack.example", {"HTTPS_PROXY": CORP}, ("HTTPS_PROXY", CORP)),
        ("https://dstack.example", {"https_proxy": "", "HTTPS_PROXY": CORP}, None),
        (OTHER, {"http_proxy": CORP, "HTTP_PROXY": "http://other"}, ("http_proxy", CORP)),
        (OTHER, {"ALL_PROXY": "socks5://p:1"}, ("ALL_PROXY", "socks5://p:1")),
        (OTHER, {"all_proxy": "socks5h://p:1"}, ("all_proxy", "socks5h://p:1")),
        (OTHER, {"ALL_PROXY": "socks5://p:1", "HTTP_PROXY": CORP}, ("HTTP_PROXY", CORP)),
        (OTHER, {"HTTP_PROXY": CORP, "REQUEST_METHOD": "GET"}, None),
        ("http://localhost.example", {"HTTP_PROXY": CORP}, ("HTTP_PROXY", CORP)),
        ("http://128.0.0.1", {"HTTP_PROXY": CORP}, ("HTTP_PROXY", CORP)),
    ],
)
def test_chooses_by_the_variables(
    url: str, environ: dict[str, str], chosen: tuple[str, str] | None
) -> None:
    found = proxies.choose(url, environ)

    assert (found and (found.variable, found.url)) == chosen


@pytest.mark.parametrize(
    ("url", "no_proxy", "direct"),
    [
        (OTHER, "dstack.example", True),
        (OTHER, "other.example, DSTACK.example", True),
        (OTHER, "other.example dstack.example", True),
        (OTHER, ".example", True),
        (OTHER, "*.example", True),
        (OTHER, "*", True),
        (OTHER, "ack.example", False),
        (OTHER, "dstack.example.org", False),
        (OTHER, "dstack.example:3000", True),
        (OTHER, "dstack.example:80", False),
        (OTHER, ", ,", False),
        ("http://dstack.example", "dstack.example:80", True),
        ("https://dstack.example", "dstack.example:443", True),
        ("http://10.1.2.3:3000", "10.0.0.0/8", True),
        ("http://11.1.2.3:3000", "10.0.0.0/8", False),
        ("http://10.1.2.3:3000", "10.1.2.3", True),
        ("http://10.1.2.3:3000", "2.3", False),
        ("http://[fd00::1]:3000", "fd00::/8", True),
        ("http://[fd00::1]:3000", "[fd00::1]", True),
        ("http://[fd00::1]:3000", "[fd00::1]:3000", True),
        ("http://[fd00::1]:3000", "10.0.0.0/8", False),
    ],
)
@pytest.mark.parametrize("variable", ["no_proxy", "NO_PROXY"])
def test_respects_the_exceptions(url: str, no_proxy: str, direct: bool, variable: str) -> None:
    environ = {"ALL_PROXY": CORP, variable: no_proxy}

    assert (proxies.choose(url, environ) is None) == direct


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("http://", "HTTP_PROXY is not the address of a proxy"),
        ("http://proxy:99999", "HTTP_PROXY is not the address of a proxy"),
        ("http://proxy:port", "HTTP_PROXY is not the address of a proxy"),
        ("http://[::1", "HTTP_PROXY is not the address of a proxy"),
        ("a proxy", "HTTP_PROXY is not the address of a proxy"),
        ("http://pröxy", "HTTP_PROXY is not the address of a proxy"),
        ("socks4://proxy:1080", "names a proxy of kind socks4://"),
        ("socks://proxy:1080", "names a proxy of kind socks://"),
        ("ftp://secret:word@proxy", "names a proxy of kind ftp://"),
    ],
)
def test_says_what_is_wrong_with_a_proxy(value: str, words: str) -> None:
    with pytest.raises(proxies.ProxyProblem) as caught:
        proxies.choose(OTHER, {"HTTP_PROXY": value})

    assert words in str(caught.value)
    assert "NO_PROXY=dstack.example" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_shows_no_password() -> None:
    found = proxies.choose(OTHER, {"HTTP_PROXY": "http://me:secret@proxy.corp:3128"})

    assert found is not None
    assert found.place == "http://proxy.corp:3128"
    assert "secret" not in repr(found)
