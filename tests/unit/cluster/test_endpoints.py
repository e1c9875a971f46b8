"""Which pods are endpoints, as tables from kubernetes-semantics 4.2."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zdsim.cluster.endpoints import (
    Endpoint,
    TrafficPolicy,
    categorize_endpoints,
    endpoint_of,
    retry_after_s,
    should_pod_be_in_endpoints,
)


def endpoint(letters: str, pod: str = "p", local: bool = False) -> Endpoint:
    return Endpoint(pod, serving="s" in letters, terminating="t" in letters, ready="r" in letters, local=local)


@pytest.mark.parametrize(
    ("has_ip", "terminal", "deleting", "include", "expected"),
    [
        (True, False, False, True, True),
        (False, False, False, True, False),
        (True, True, False, True, False),
        (True, False, True, True, True),
        (True, False, True, False, False),
        (True, True, True, True, False),
    ],
)
def test_should_pod_be_in_endpoints(
    has_ip: bool, terminal: bool, deleting: bool, include: bool, expected: bool
) -> None:
    asked = should_pod_be_in_endpoints(has_ip=has_ip, terminal=terminal, deleting=deleting, include_terminating=include)
    assert asked is expected


@pytest.mark.parametrize(
    ("ready", "deleting", "publish", "letters"),
    [
        (False, False, False, "---"),
        (True, False, False, "rs-"),
        (True, True, False, "-st"),  # deletion alone does not make a pod unready
        (False, True, False, "--t"),
        (False, False, True, "r--"),
        (True, True, True, "rst"),
    ],
)
def test_conditions_of_an_endpoint(ready: bool, deleting: bool, publish: bool, letters: str) -> None:
    assert endpoint_of("p", ready_condition=ready, deleting=deleting, publish_not_ready=publish).letters == letters


@pytest.mark.parametrize(
    ("given_", "chosen"),
    [
        (["rs-", "rs-", "---"], [0, 1]),
        (["rs-", "-st"], [0]),
        (["-st", "-st", "--t"], [0, 1]),  # none ready: those that terminate and still serve
        (["---", "--t"], []),
        ([], []),
    ],
)
def test_categorize_endpoints(given_: list[str], chosen: list[int]) -> None:
    endpoints = [endpoint(letters, pod=str(k)) for k, letters in enumerate(given_)]
    assert [e.pod for e in categorize_endpoints(endpoints)] == [str(k) for k in chosen]


def test_local_policy_looks_at_its_own_node_only() -> None:
    here, there = endpoint("-st", "here", local=True), endpoint("rs-", "there")
    assert categorize_endpoints([here, there], TrafficPolicy.LOCAL) == (here,)
    assert categorize_endpoints([here, there], TrafficPolicy.CLUSTER) == (there,)
    assert categorize_endpoints([there], TrafficPolicy.LOCAL) == ()


@given(st.lists(st.sampled_from(["".join(p) for p in product("r-", "s-", "t-")])))
def test_ready_ones_are_never_mixed_with_terminating_ones(given_: list[str]) -> None:
    chosen = categorize_endpoints(endpoint(letters) for letters in given_)
    assert len({e.ready for e in chosen}) <= 1
    assert bool(chosen) == any("r" in e or e.endswith("st") for e in given_)


def test_a_failed_write_is_tried_again_after_1_2_4_seconds() -> None:
    assert [retry_after_s(n) for n in (1, 2, 3, 4, 20)] == [1.0, 2.0, 4.0, 8.0, 1000.0]
