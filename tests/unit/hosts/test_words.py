"""What OpenSSH says, in words for a person, and never what the other side said."""

from __future__ import annotations

import pytest

from apps.hosts.address import parse
from apps.hosts.ssh import words

HOST, JUMP = parse("ann@192.0.2.7:2222"), parse("bob@192.0.2.1")


@pytest.mark.parametrize(
    "errors, said",
    [
        ("ann@192.0.2.7: Permission denied (publickey).", "ann@192.0.2.7:2222 does not let"),
        ("bob@192.0.2.1: Permission denied (publickey).", "The jump host bob@192.0.2.1 does not"),
        ("ssh: connect to host 192.0.2.7 port 2222: Connection refused", "Nothing listens"),
        ("ssh: connect to host 192.0.2.7 port 2222: Connection timed out", "does not answer"),
        ("Load key \"/x\": error in libcrypto", "The key cannot be used"),
        ("Unable to negotiate with 192.0.2.7: no match. Their offer: x", "update its sshd"),
        ("kex_exchange_identification: banner line contains invalid characters", "no ssh server"),
        ("kex_exchange_identification: Connection closed by remote host", "before ssh begins"),
        ("channel 0: open failed: administratively prohibited: open failed", "AllowTcpForwarding"),
        ("something that nobody has seen", "the server's log has"),
    ],
)  # fmt: skip
def test_says_what_failed(errors: str, said: str) -> None:
    assert said in words.in_words(errors, HOST, JUMP)


@pytest.mark.parametrize(
    "errors, said",
    [
        ("bob@192.0.2.1: Permission denied (publickey).", "The jump host bob@gate.example.com"),
        ("ssh: connect to host 192.0.2.1 port 22: Connection refused", "at the jump host bob@gate"),
        ("channel 0: open failed: connect failed: Connection refused", "at ann@192.0.2.7:2222"),
    ],
)
def test_names_a_jump_host_by_what_a_person_called_it(errors: str, said: str) -> None:
    assert said in words.in_words(errors, HOST, parse("bob@gate.example.com"), called="192.0.2.1")


@pytest.mark.parametrize(
    "errors",
    [
        "Bad remote protocol version identification: 'secret of the network'",
        "ssh_dispatch_run_fatal: secret of the network",
        "Received disconnect from 192.0.2.7 port 2222:2: secret of the network",
        "Unable to negotiate: Their offer: secret of the network",
        "secret of the network",
        "kex_exchange_identification: secret of the network",
    ],
)
def test_passes_nothing_on(errors: str) -> None:
    assert "secret" not in words.in_words(errors, HOST, None)


def test_tells_whose_key_is_another_one() -> None:
    changed = "@@@@@\nHost key for {} has changed and you have requested strict checking.\n"
    other_kind = "No ED25519 host key is known for {} and you have requested strict checking.\n"
    for alias in ("host", "jump"):
        assert words.with_another_key(changed.format(alias)) == alias
        assert words.with_another_key(other_kind.format(alias)) == alias
    assert words.with_another_key("Host key verification failed.") == ""
