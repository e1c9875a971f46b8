"""Laws of client-go's pacing: token bucket, work queue, event recorder."""

from __future__ import annotations

import pytest

from zdsim.cluster.api import ConflictError
from zdsim.cluster.clock import SharedClock
from zdsim.cluster.journal import EntryKind, Journal
from zdsim.cluster.latency import constant
from zdsim.cluster.workqueue import Client, ClientLimits, Process, TokenBucket, WorkQueue


def test_the_bucket_gives_its_burst_at_once_and_then_one_per_period() -> None:
    bucket = TokenBucket(ClientLimits(qps=20.0, burst=30))
    waits = [bucket.reserve(0.0) for _ in range(33)]
    assert waits[:30] == [0.0] * 30
    assert waits[30:] == pytest.approx([0.05, 0.10, 0.15])
    assert bucket.reserve(0.1) == pytest.approx(0.10)  # two have been served meanwhile, in order
    assert bucket.reserve(60.0) == 0.0


def test_a_bucket_is_full_whenever_the_world_begins() -> None:
    bucket = TokenBucket(ClientLimits(qps=20.0, burst=30))
    assert [bucket.reserve(-60.0) for _ in range(30)] == [0.0] * 30


def test_a_client_waits_for_its_token_and_the_call() -> None:
    clock = SharedClock()
    client = Client(clock, "me", write_delay=constant(0.25), limits=ClientLimits(qps=1.0, burst=1))
    assert [client.wait("x"), client.wait("x")] == [0.25, 1.25]


def test_events_cost_calls_one_after_another_and_are_dropped_after_25() -> None:
    clock = SharedClock()
    client = Client(clock, "me", write_delay=constant(0.01), limits=ClientLimits(qps=1.0, burst=100))
    for _ in range(40):
        client.record_event("web")
    clock.run(until=0.095)
    client.wait("x")
    assert client.bucket.tokens == pytest.approx(100.0 - 10.0 - 1.0, abs=0.2)  # ten events of 10 ms, and this call
    clock.run(until=1.0)
    client.wait("x")
    assert client.bucket.tokens == pytest.approx(100.0 - 25.0 - 2.0 + 1.0, abs=0.2)


def test_changes_during_a_sync_coalesce_into_one_more() -> None:
    clock = SharedClock()
    runs: list[float] = []

    def sync(key: str) -> Process:
        runs.append(clock.now)
        yield clock.timeout(1.0)

    queue = WorkQueue(clock, sync)
    queue.add("a")
    for t in (0.25, 0.5, 0.75):
        clock.call_at(t, lambda: queue.add("a"))
    clock.run(until=10.0)
    assert runs == [0.0, 1.0]


def test_keys_run_side_by_side_up_to_the_number_of_workers() -> None:
    clock = SharedClock()
    runs: list[tuple[str, float]] = []

    def sync(key: str) -> Process:
        runs.append((key, clock.now))
        yield clock.timeout(1.0)

    queue = WorkQueue(clock, sync, workers=2)
    for key in "abc":
        queue.add(key)
    clock.run(until=10.0)
    assert runs == [("a", 0.0), ("b", 0.0), ("c", 1.0)]


def test_the_earliest_of_several_delays_counts() -> None:
    clock = SharedClock()
    runs: list[float] = []

    def sync(key: str) -> Process:
        runs.append(clock.now)
        yield clock.timeout(0.0)

    queue = WorkQueue(clock, sync)
    for delay in (3.0, 2.0, 5.0):
        queue.add_after("a", delay)
    clock.run(until=10.0)
    assert runs == [2.0]


def test_failures_back_off_and_success_forgets_them() -> None:
    clock = SharedClock()
    runs: list[float] = []

    def sync(key: str) -> Process:
        runs.append(clock.now)
        yield clock.timeout(0.0)
        if len(runs) <= 3:
            raise ConflictError(key)

    queue = WorkQueue(clock, sync)
    queue.add("a")
    clock.run(until=1.0)
    assert runs == pytest.approx([0.0, 0.005, 0.015, 0.035])
    queue.add_rate_limited("a")
    clock.run(until=2.0)
    assert runs[-1] == pytest.approx(1.005)


def test_a_deployment_is_given_up_after_its_retries_until_the_next_event() -> None:
    clock = SharedClock()
    runs: list[float] = []

    def sync(key: str) -> Process:
        runs.append(clock.now)
        yield clock.timeout(0.0)
        raise ConflictError(key)

    queue = WorkQueue(clock, sync, max_retries=3)
    queue.add("a")
    clock.run(until=100.0)
    assert len(runs) == 4
    queue.add("a")
    clock.run(until=100.004)
    assert len(runs) == 5


def test_a_journal_finds_what_it_was_told() -> None:
    journal = Journal()
    heard: list[str] = []
    journal.listen(lambda entry: heard.append(entry.reason))
    journal.write(1.0, EntryKind.POD, "web-v1-0", "TooFewPods")
    journal.write(2.0, EntryKind.CONTAINER_ENDED, "web-v1-0", "OOMKilled", exit_code=137, cut_off=3)
    journal.write(3.0, EntryKind.POD, "web-v1-1", "TooFewPods")
    assert len(journal) == 3
    assert heard == ["TooFewPods", "OOMKilled", "TooFewPods"]
    assert journal.of_kind(EntryKind.CONTAINER_ENDED)[0].data["cut_off"] == 3
    assert [entry.time for entry in journal.about("web-v1-0")] == [1.0, 2.0]
    late = journal.first(EntryKind.POD, "TooFewPods", after=1.5)
    assert late is not None
    assert late.subject == "web-v1-1"
    assert journal.first(EntryKind.FAULT) is None
