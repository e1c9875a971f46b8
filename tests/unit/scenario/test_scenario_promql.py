"""Queries as dashboards and examples write them, and which simulated metric each one is; the others are not guessed."""

from __future__ import annotations

import time

import pytest

from zdsim.scenario.analysis import Of
from zdsim.scenario.promql import recognise

TOTAL = 'sum(rate(http_requests_total{job="web"}[5m]))'
BAD = 'sum(rate(http_requests_total{job="web",status=~"5.."}[5m]))'
GOOD = 'sum(rate(http_requests_total{job="web",status!~"5.."}[5m]))'


@pytest.mark.parametrize(
    ("query", "means"),
    [
        (f"{BAD} / {TOTAL}", "error_rate of all, window 5m"),
        (f"{GOOD} / {TOTAL}", "1 - error_rate of all, window 5m"),
        (f"1 - {BAD} / {TOTAL}", "1 - error_rate of all, window 5m"),
        (f"1 - ({GOOD}) / ({TOTAL})", "error_rate of all, window 5m"),
        (f"100 * {BAD} / {TOTAL}", "error_rate of all, window 5m x 100"),
        (f"({BAD} / {TOTAL}) * 100", "error_rate of all, window 5m x 100"),
        (f"{GOOD} / {TOTAL} * 100", "1 - error_rate of all, window 5m x 100"),
        (f"100 - {GOOD} / {TOTAL} * 100", "error_rate of all, window 5m x 100"),
        (f"({GOOD} / {TOTAL}) or vector(1)", "1 - error_rate of all, window 5m"),
        (f"scalar({BAD} / {TOTAL})", "error_rate of all, window 5m"),
        (
            'sum(increase(nginx_ingress_controller_requests{ingress="web",status=~"[1-3].*"}[1m])) / '
            'sum(increase(nginx_ingress_controller_requests{ingress="web"}[1m]))',
            "1 - error_rate of all, window 1m",
        ),
        (
            'sum(irate(istio_requests_total{reporter="source",response_code!~"5.*"}[2m])) by (app) / '
            'sum(irate(istio_requests_total{reporter="source"}[2m])) by (app)',
            "1 - error_rate of all, window 2m",
        ),
        (
            'histogram_quantile(0.99, sum by (le) (rate(istio_request_duration_milliseconds_bucket{app="web"}[1m])))',
            "p99 of all, window 1m x 1000",
        ),
        (
            'sum(rate(http_server_requests_seconds_count{outcome!="SERVER_ERROR"}[1m])) / '
            "sum(rate(http_server_requests_seconds_count[1m]))",
            "1 - error_rate of all, window 1m",
        ),
        (
            'sum(rate(http_server_requests_seconds_count{outcome="SERVER_ERROR"}[1m])) / '
            "sum(rate(http_server_requests_seconds_count[1m]))",
            "error_rate of all, window 1m",
        ),
        ("histogram_quantile(0.95, sum(rate(x_s_bucket[90s])) by (le)) * 1000", "p95 of all, window 1m30s x 1000"),
        (f"({BAD} * 100) / {TOTAL}", "error_rate of all, window 5m x 100"),
        ("histogram_quantile(0.5, rate(x_seconds_bucket[1m]))", "p50 of all, window 1m"),
        (TOTAL, "throughput of all, window 5m"),
    ],
)  # fmt: skip
def test_what_is_recognised(query: str, means: str) -> None:
    assert str(recognise(query)) == means
    assert str(recognise("\n  ".join(query.split(" ")))) == means, "blanks and lines mean nothing"


@pytest.mark.parametrize(
    "query",
    [
        "",
        "up",
        f"{BAD}",
        f"{BAD} / {GOOD}",
        f"{BAD} / sum(rate(other_requests_total[5m]))",
        f"{BAD} / sum(rate(http_requests_total[1m]))",
        f"2 - {BAD} / {TOTAL}",
        f"{BAD} / {TOTAL} + 1",
        f"{TOTAL} / {TOTAL}",
        "sum(rate(node_cpu_seconds_total[5m]))",
        "histogram_quantile(0.9, sum(rate(x_seconds_bucket[1m])) by (le))",
        "histogram_quantile(0.99, sum(rate(x_seconds_sum[1m])) by (le))",
        'sum(rate(http_requests_total{status=~"4.."}[5m])) / sum(rate(http_requests_total[5m]))',
        "sum(rate(http_requests_total[$__rate_interval]))",
        "sum(rate(http_requests_total[5m:1m]))",
        "sum(increase(http_requests_total[5m]))",
        "((((((",
        "))))",
        "{'",
    ],
)
def test_what_is_not_guessed_at(query: str) -> None:
    assert recognise(query) is None


@pytest.mark.parametrize(
    ("selector", "of"),
    [
        ('service="web-canary"', Of.NEW),
        ('service=~"web-canary.shop.svc.cluster.local"', Of.NEW),
        ('service="green"', Of.NEW),
        ('service="web-stable"', Of.STABLE),
        ('service="blue"', Of.STABLE),
        ('canary!=""', Of.NEW),
        ('service="greenhouse"', Of.ALL),
        ('service="web"', Of.ALL),
    ],
)
def test_whose_requests_are_meant(selector: str, of: Of) -> None:
    found = recognise(f"sum(rate(http_requests_total{{{selector}}}[1m]))", new=["green"], stable=["blue"])
    assert found is not None
    assert found.of is of


@pytest.mark.parametrize(
    "query", ["(" * 5000, "1*" * 2500, "(" * 2500 + ")" * 2500, "sum(rate(" + "{a=" * 1000, '{"' * 2000]
)
def test_hostile_text_is_soon_given_up(query: str) -> None:
    start = time.perf_counter()
    assert recognise(query) is None
    assert time.perf_counter() - start < 2.0
