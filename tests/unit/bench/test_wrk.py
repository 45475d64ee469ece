"""What the benchmarks read of wrk, over texts that wrk 4.1 printed."""

from __future__ import annotations

import pytest

from tests.bench import wrk

# The larger units are padded with spaces at the line's end.
SLOW = """\
Running 3s test @ http://127.0.0.1:23790/
  1 threads and 2 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.05s   249.42us   1.05s   100.00%
    Req/Sec     1.00      0.00     1.00    100.00%
  Latency Distribution
     50%    1.05s\x20
     75%    1.05s\x20
     90%    1.05s\x20
     99%    1.05s\x20
  4 requests in 3.01s, 160.00B read
Requests/sec:      1.33
Transfer/sec:     53.23B
"""
QUICK = """\
Running 3s test @ http://127.0.0.1:23790/
  1 threads and 2 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   164.34us  287.90us   6.80ms   97.31%
    Req/Sec    14.00k     1.40k   17.93k    64.52%
  Latency Distribution
     50%  126.00us
     75%  144.00us
     90%  165.00us
     99%    1.39ms
  43179 requests in 3.10s, 1.65MB read
Requests/sec:  13929.38
Transfer/sec:    544.12KB
"""
NONE = """\
Running 2s test @ http://127.0.0.1:23790/
  1 threads and 2 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     0.00us    0.00us   0.00us    -nan%
    Req/Sec     0.00      0.00     0.00      -nan%
  Latency Distribution
     50%    0.00us
     75%    0.00us
     90%    0.00us
     99%    0.00us
  0 requests in 2.00s, 0.00B read
Requests/sec:      0.00
Transfer/sec:       0.00B
"""


def test_reads_times_below_a_second() -> None:
    assert wrk.read(QUICK) == wrk.Report(
        requests=43179, per_second=13929.38, p50_ms=0.126, p99_ms=1.39
    )


def test_reads_times_of_a_second_and_more() -> None:
    assert wrk.read(SLOW) == wrk.Report(requests=4, per_second=1.33, p50_ms=1050, p99_ms=1050)


@pytest.mark.parametrize(
    ("said", "means"),
    [
        ("0.00us", 0),
        ("999.99us", 0.99999),
        ("1.00ms", 1),
        ("999.99ms", 999.99),
        ("1.00s ", 1_000),
        ("59.99s ", 59_990),
        ("1.00m ", 60_000),
        ("1.50h ", 5_400_000),
    ],
)
def test_reads_every_unit(said: str, means: float) -> None:
    text = QUICK.replace("126.00us", said).replace("1.39ms", said)

    report = wrk.read(text)

    assert [report.p50_ms, report.p99_ms] == pytest.approx([means, means])


@pytest.mark.parametrize(
    "text",
    [
        NONE,
        QUICK + "  Non-2xx or 3xx responses: 3\n",
        QUICK + "  Socket errors: connect 0, read 0, write 0, timeout 2\n",
        QUICK.replace("126.00us", "126.00"),
        "unable to connect to 127.0.0.1:23790 Connection refused\n",
        "Usage: wrk <options> <url>\n",
        "",
    ],
)
def test_says_what_wrk_said_when_there_are_no_figures(text: str) -> None:
    with pytest.raises(RuntimeError) as raised:
        wrk.read(text)

    assert text in str(raised.value)
