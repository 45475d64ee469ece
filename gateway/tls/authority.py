"""An ACME server (RFC 8555), asked for one certificate at a time. Blocking: see `orders`."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any, cast

import josepy
import requests
from acme import client, crypto_util, errors, messages
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from josepy.jwk import JWKRSA

from gateway import atomic_write
from gateway.errors import OrderFailed
from gateway.tls import challenges, pem
from gateway.tls.challenges import Solver

USER_AGENT = "dstack-web-gateway"
ANSWER_SECONDS = 30
MOST_NONCE_TRIES = 4
KEY_FILE = "account.key"
# It logs each message, signed ones too.
logging.getLogger("acme").setLevel(logging.WARNING)


class Authority:
    """An account at the ACME server at `url`; `ca` is what to trust where it is a private one."""

    def __init__(self, *, url: str, email: str, ca: Path | None, folder: Path) -> None:
        self._url = url
        self._email = email
        self._ca = ca
        self._folder = folder
        # Orders run at once, and the first of them make the account.
        self._signing_in = threading.Lock()

    def order(self, host: str, *, solver: Solver) -> str:
        """Return a chain and its key for a host or a wildcard. Raise OrderFailed."""
        try:
            return self._order(host, solver)
        except errors.ValidationError as error:
            raise OrderFailed(said_of(error)) from None
        except errors.TimeoutError:
            raise OrderFailed("the ACME server did not decide in 90 s") from None
        except messages.Error as error:
            raise OrderFailed(error.detail or error.description or str(error)) from None
        except requests.RequestException as error:
            raise OrderFailed(f"the ACME server does not answer: {short(error)}") from None
        except (errors.Error, josepy.errors.Error, OSError, KeyError, ValueError) as error:
            raise OrderFailed(f"the ACME server gave no certificate: {short(error)}") from None

    def _order(self, host: str, solver: Solver) -> str:
        with self._signing_in:
            account_key = self._account_key()
        # Handed on to `requests`, which also takes the path of a file.
        verify = cast(bool, str(self._ca)) if self._ca else True
        net = Network(account_key, verify_ssl=verify, user_agent=USER_AGENT, timeout=ANSWER_SECONDS)
        server = client.ClientV2(client.ClientV2.get_directory(self._url, net), net)
        with self._signing_in:
            self._sign_in(server)
        _, key = pem.key_text()
        order = server.new_order(crypto_util.make_csr(key.encode(), [host]))
        for authorization in order.authorizations:
            if authorization.body.status == messages.STATUS_VALID:
                continue
            server.answer_challenge(*challenges.answer(authorization, account_key, solver))
        return f"{server.poll_and_finalize(order).fullchain_pem}\n{key}"

    def _sign_in(self, server: client.ClientV2) -> None:
        contact = self._email or None
        wish = messages.NewRegistration.from_data(email=contact, terms_of_service_agreed=True)
        try:
            server.new_account(wish)
        except errors.ConflictError as known:
            where = messages.RegistrationResource(
                uri=known.location, body=messages.Registration.from_data()
            )
            server.net.account = where

    def _account_key(self) -> JWKRSA:
        file = self._folder / KEY_FILE
        if not file.exists():
            key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            text = key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            atomic_write.write_text(file, text.decode())
        return cast(JWKRSA, JWKRSA.load(file.read_bytes()))


class Network(client.ClientNetwork):
    """The library's, but a busy server may call a nonce stale more than twice."""

    def post(self, *args: Any, **kwargs: Any) -> requests.Response:
        for _ in range(MOST_NONCE_TRIES - 1):
            try:
                return super().post(*args, **kwargs)
            except messages.Error as error:
                if error.code != "badNonce":
                    raise
        return super().post(*args, **kwargs)


def said_of(error: errors.ValidationError) -> str:
    for authorization in error.failed_authzrs:
        for challenge in authorization.body.challenges:
            if challenge.error is not None:
                return challenge.error.detail or str(challenge.error)
    return "the ACME server could not verify the name"


def short(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
