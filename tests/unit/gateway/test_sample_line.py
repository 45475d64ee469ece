"""The line that HAProxy says of an answer, as it writes it and as it is read."""

from __future__ import annotations

import pytest

from gateway.state import sample_line
from gateway.state.sample_line import AskedRequest
from gateway.traffic import latency, token_usage
from gateway.traffic.latency import Sample
from gateway.traffic.requests import ended
from gateway.traffic.token_usage import TokenUsage

SAID = {
    "%[var(txn.endpoint)]": "e-hello",
    "%[var(txn.weight,1)]": "16",
    "%Ta": "240",
    "%TR": "1",
    "%Tw": "2",
    "%Tc": "3",
    "%Tr": "4",
    "%[date(0,us),sub(txn.began)]": "240831",
    "%[var(txn.first)]": "10062",
    "%[var(txn.key)]": "k-1",
    "%[var(txn.tokens_in)]": "7",
    "%[var(txn.tokens_out)]": "9",
    "%[var(txn.request_id)]": "r-1",
    "%[var(txn.method)]": "GET",
    "%[var(txn.path),bytes(0,201),ub64enc]": "L2E",
    "%ST": "200",
    "%ts": "--",
    "%s": "n7",
    "%[var(txn.held)]": "0.150",
    "%[var(txn.served)]": "-",
    "%[var(txn.said_in)]": "-",
    "%[var(txn.said_out)]": "-",
}


@pytest.mark.parametrize(("given", "weight"), [({}, 16), ({"weight": "1"}, 1)])
def test_is_read_as_it_is_written(given: dict[str, str], weight: int) -> None:
    line = sample_line.log_format(**given)
    line = " ".join(SAID.get(words, words) for words in line.split(" "))

    text, used = token_usage.parse(line.partition(sample_line.ASKED)[0])
    request = ended.parse(line, at=1.0)

    assert latency.parse(text) == Sample("e-hello", weight, 240_831, 10_062)
    assert used == TokenUsage("e-hello", "k-1", 7, 9)
    assert request is not None
    assert request.asked == AskedRequest(
        "r-1", "GET", "L2E", "200", "--", "n7", "0.150", "-", "-", "-"
    )
