"""Why were requests lost, in plain words, and what would have kept them?

One story a cause. A story tells what the requests met, as far as plane and cluster knew it at that instant, and which
setting is worth a try. The numbers in it are this run's; the advice is a hypothesis to be tested by another run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, assert_never

from zdsim.plane.config import PlaneRecord
from zdsim.plane.vocabulary import Cause, Outcome
from zdsim.report.units import percent, plural, seconds


@dataclass(frozen=True, slots=True)
class Why:
    """One cause of dropped requests."""

    cause: Cause
    count: int  # requests
    share: float  # of all dropped requests, 0 to 1
    sentence: str  # what happened to them
    fix: str  # what would help; empty where nothing would


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about the requests of one cause."""

    n: int
    cut: int = 0  # of them, cut off while their connection stood (outcome RESET)
    stale_mean_s: float | None = None  # sent so long after the pod's removal from the endpoints, on average
    stale_max_s: float | None = None  # ... at most


def explain(record: PlaneRecord, *, buggy: bool = True) -> list[Why]:
    """Every cause of a run's dropped requests, the most frequent first.

    Args:
        buggy: the revision under release errs more often than the stable one; False: as often, so its errors are
            nobody's fault.
    """
    by_cause = record.causes.sum(axis=0)
    dropped = int(by_cause.sum())
    found = []
    for cause in Cause:
        n = int(by_cause[cause])
        if n == 0:
            continue
        k = int(record.stale_count[cause])
        facts = Facts(
            n=n,
            cut=int(record.causes[Outcome.RESET, cause]),
            stale_mean_s=float(record.stale_sum[cause]) / k if k else None,
            stale_max_s=float(record.stale_max[cause]) if k else None,
        )
        what, fix = story(cause, facts)
        if cause is Cause.BAD_REVISION and not buggy:
            fix = "It errs no more often than the stable revision: the deployment did not do this."
        found.append(Why(cause, n, n / dropped, f"{plural(n, 'request')} ({percent(n / dropped)}) {what}", fix))
    return sorted(found, key=lambda why: (-why.count, why.cause))


def errs_more(scenario: Mapping[str, Any]) -> bool:
    """Does a scenario (as a record keeps it) release a revision that errs more often?"""
    release = scenario.get("release") or {}
    bugs = [release.get("bug"), *(one.get("bug") for one in release.get("then") or ())]
    return any(bug and (bug.get("error_rate") or any((bug.get("classes") or {}).values())) for bug in bugs)


def story(cause: Cause, facts: Facts) -> tuple[str, str]:
    """What happened (a sentence that continues "1,204 requests (68 %) ..."), and what would help."""
    were = "was" if facts.n == 1 else "were"
    match cause:
        case Cause.NONE:
            return "failed without a known cause.", "Please report this scenario: every drop should have a cause."
        case Cause.STARTING:
            return (
                "met a pod whose process was not listening yet.",
                "A readiness probe that fails until the process listens keeps routers away from it.",
            )
        case Cause.DRAINING:
            return f"met a pod that had already stopped accepting after SIGTERM{_late(facts)}.", _sleep(facts)
        case Cause.EXITED_AT_SIGTERM:
            drain = "Drain on SIGTERM: stop accepting, answer what is in flight, then exit. " if facts.cut else ""
            met = _sleep(facts) if facts.cut < facts.n else ""
            return f"{were} lost to a process that had ended after SIGTERM{_cut(facts)}.", f"{drain}{met}".strip()
        case Cause.KILLED_AT_GRACE_END:
            return (
                f"{were} lost to SIGKILL at the end of the grace period{_cut(facts)}.",
                "terminationGracePeriodSeconds must outlast preStop plus the longest request, and the process must "
                "react to SIGTERM.",
            )
        case Cause.CRASHED:
            return (
                f"{were} lost to a process that crashed{_cut(facts)}.",
                "If only the new revision crashes, minReadySeconds longer than it lives stops the rollout. Retries of "
                "idempotent requests hide single crashes.",
            )
        case Cause.OOM_KILLED:
            return (
                f"{were} lost to a process killed at its memory limit{_cut(facts)}.",
                "Raise the memory limit or mend the leak; pods started together reach the limit together.",
            )
        case Cause.LIVENESS_KILLED:
            return (
                f"{were} lost to a process that its liveness probe had restarted{_cut(facts)}.",
                "A liveness probe should answer from the process alone, with a longer timeoutSeconds or a higher "
                "failureThreshold: a busy pod is not a dead one.",
            )
        case Cause.STARTUP_KILLED:
            return (
                f"{were} lost to a process that its startup probe had restarted{_cut(facts)}.",
                "failureThreshold x periodSeconds of the startup probe must outlast the slowest start.",
            )
        case Cause.POD_KILLED:
            return (
                f"{were} lost to a pod that an injected fault killed{_cut(facts)}.",
                "More replicas make each kill smaller; retries of idempotent requests hide it.",
            )
        case Cause.KEEP_ALIVE_RACE:
            return (
                f"{were} sent on an idle connection at the moment the server closed it.",
                "Let the server keep idle connections longer than its clients or routers do, or retry once.",
            )
        case Cause.COLD_POD:
            return (
                f"{were} stuck behind a pod that was still warming up.",
                "Let readiness wait until the pod is warm, send it less at first (slow start), or replace fewer pods "
                "at a time.",
            )
        case Cause.SLOW_POD:
            return (
                f"{were} stuck behind a pod on a slow node.",
                "Route by requests in flight (least_request) so that a slow pod gets less.",
            )
        case Cause.SLOW_REVISION:
            return (
                f"{were} stuck behind a revision that needs more time for each request.",
                "Give the new revision more pods or workers, or let latency stop the rollout early.",
            )
        case Cause.OVERLOAD:
            return (
                f"{were} stuck behind more traffic than the ready pods could serve.",
                "Keep more pods during the rollout (maxUnavailable 0, more surge), or raise replicas.",
            )
        case Cause.HUNG:
            return (
                f"{were} sent to a process that listens and never answers.",
                "A probe that passes through the worker queue finds it; a shorter period or threshold finds it sooner.",
            )
        case Cause.DB_DOWN:
            return (
                "failed because the database was down.",
                "No deployment setting mends this; retries with back-off help if the outage is short.",
            )
        case Cause.DB_SLOW:
            return (
                f"{were} stuck waiting for, or running, a database query.",
                "Fewer queries a request or more database slots; look for what runs there during the rollout.",
            )
        case Cause.DB_POOL:
            return (
                "found every database connection of their pod in use."
                if facts.n != 1
                else "found every database connection of its pod in use.",
                "A larger connection pool, or fewer workers than connections, ends the wait.",
            )
        case Cause.DB_CONNECTIONS:
            return (
                "waited for a connection that the database server would not open: its limit was reached.",
                "Old and new pods together must fit max_connections: smaller pools, less surge, or a connection "
                "pooler.",
            )
        case Cause.NO_READY_POD:
            return (
                "found no ready pod where a router sent them."
                if facts.n != 1
                else "found no ready pod where a router sent it.",
                "Recreate always has such a gap; so has a router that hears of a weight before it hears of the pods "
                "behind it. A rolling update leaves replicas minus maxUnavailable; if they went too, look at the other "
                "causes, and at readiness probes that depend on something shared.",
            )
        case Cause.BAD_REVISION:
            return (
                f"{were} answered with an error of the revision under release.",
                "Only less exposure helps: smaller steps, minReadySeconds, an alert that undoes the release sooner.",
            )
        case Cause.BASELINE_ERRORS:
            return (
                f"{were} answered with an error that the stable revision makes too.",
                "The deployment did not do this.",
            )
    assert_never(cause)


def _late(facts: Facts) -> str:
    """How long the pod had been removed when a router still sent to it."""
    if facts.stale_mean_s is None or facts.stale_max_s is None:
        return ""
    if facts.n == 1:
        return f": a router sent it there {seconds(facts.stale_max_s)} after the pod's removal"
    mean, most = seconds(facts.stale_mean_s), seconds(facts.stale_max_s)
    return f": routers sent them there {mean} after the pod's removal on average ({most} at most)"


def _cut(facts: Facts) -> str:
    """How many were cut off, how many were sent to it afterwards."""
    met = facts.n - facts.cut
    if not met:
        return ", cut off before the answer"
    if not facts.cut:
        return _late(facts) or ", after it was gone"
    late = ""
    if facts.stale_mean_s is not None and facts.stale_max_s is not None:
        late = f", up to {seconds(facts.stale_max_s)} after the pod's removal"
    return f": {facts.cut:,} cut off before the answer, {met:,} sent to it afterwards{late}"


def _sleep(facts: Facts) -> str:
    if facts.stale_max_s is None:
        return "A preStop sleep longer than routers take to hear of the removal keeps the process up until then."
    return f"A preStop sleep longer than {seconds(facts.stale_max_s)} removes them."
