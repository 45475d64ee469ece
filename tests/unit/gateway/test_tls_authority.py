from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gateway.errors import OrderFailed
from gateway.tls.authority import Authority
from gateway.tls.challenges import Http

NOBODY = "https://127.0.0.1:1/dir"


def by_http() -> Http:
    return Http(lambda *_: None, lambda _: None)


def test_first_orders_at_once_make_one_account_and_fail_in_a_sentence(tmp_path: Path) -> None:
    authority = Authority(url=NOBODY, email="", ca=None, folder=tmp_path)

    def order(number: int) -> str:
        try:
            return authority.order(f"s{number}.example.org", solver=by_http())
        except OrderFailed as error:
            return str(error)

    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(order, range(4)))

    assert all(each.startswith("the ACME server does not answer: ") for each in answers)
    (key,) = tmp_path.iterdir()
    assert key.name == "account.key" and stat.S_IMODE(key.stat().st_mode) == 0o600
