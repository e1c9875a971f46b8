"""When did traffic move, what did the checks say, and who acted?

The events of a run that a reader of a canary or a blue-green deployment wants to see, in their order and in few words;
pods and containers are left out. What happens at one instant is one step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zdsim.record import Event, EventKind, RunRecord

MAX_STEPS = 24  # in a summary; beyond, the middle is left out
TOGETHER_S = 0.0005  # events so close are one step

#: Reasons of ROLLOUT events that are told: with these words, or with the event's own message where there are none.
_ROLLOUT = {
    # canaries and blue-green, Argo Rollouts
    "WeightWritten": "",
    "TrafficSwitched": "",
    "RouteSet": "a route for marked requests, or copies of requests, to the new revision",
    "RoutesRemoved": "routes removed",
    "ExperimentStarted": "experiment started",
    "ExperimentTerminated": "experiment ended",
    "AnalysisInconclusive": "inconclusive: waits for a human",
    "PreviewCheckPoint": "preview ready",
    "Promoted": "promoted",
    "Aborted": "aborted",
    "RollbackToStable": "back to the stable revision",
    "RollbackWithinWindow": "back to an earlier revision: steps skipped",
    "ProgressDeadlineExceeded": "progress deadline exceeded",
    "ScaleDownDeadlinePassed": "",
    # Flagger
    "IterationAdvanced": "",
    "Mirroring": "",
    "CheckFailed": "",
    "PreRolloutHookFailed": "",
    "FailedChecksThresholdReached": "",
    "CanaryProgressDeadlineExceeded": "",
    "PrimaryProgressDeadlineExceeded": "",
    "WaitingForApproval": "",
    "WaitingForTrafficIncreaseApproval": "",
    "WaitingForPromotionApproval": "",
    "NewRevisionRestartsAnalysis": "",
    "AnalysisSkipped": "",
    "CopyingSpecToPrimary": "the new template is copied to the primary",
    "PromotionFailed": "",
    "PromotionFinished": "promotion finished",
    "RollbackWebhook": "",
}
_SIZES = frozenset({"ScaledNew"})  # told where no router has weights: the pods are the weight
_URGENT = frozenset({"Aborted", "FailedChecksThresholdReached", "RollbackWebhook", "PromotionFailed"})
_MOVES = frozenset({"WeightWritten", "TrafficSwitched"})


@dataclass(frozen=True, slots=True)
class Step:
    """One instant of a rollout."""

    time_s: float
    texts: tuple[str, ...]

    @property
    def text(self) -> str:
        return "; ".join(self.texts)


def steps(record: RunRecord) -> list[Step]:
    """The steps of a rollout by weight or switch; none for a rollout that only replaces pods."""
    by_weight = any(event.reason == "WeightWritten" for event in record.events)
    found: list[tuple[float, str]] = []
    last_move = ""
    pause = last_pause(record)
    for event in record.events:
        text = "pause, until the run ends" if event is pause else _text(event, sizes=not by_weight)
        if not text:
            continue
        if event.reason in _MOVES:
            if "to the canary" in text and event.data.get("weight") == 0.0:
                text = "all requests to the primary"
            text = _all(text)
            if text == last_move:
                continue  # written again, nothing new
            last_move = text
        found.append((event.time_s, text))
    if not any(_is_progressive(event) for event in record.events):
        return []
    out: list[Step] = []
    for time_s, text in found:
        if out and time_s - out[-1].time_s <= TOGETHER_S:
            if text not in out[-1].texts:
                out[-1] = Step(out[-1].time_s, (*out[-1].texts, text))
        else:
            out.append(Step(time_s, (text,)))
    return out


def shortened(found: Sequence[Step], most: int = MAX_STEPS) -> tuple[list[Step], int, list[Step]]:
    """The first steps, how many are left out, and the last ones."""
    if len(found) <= most:
        return list(found), 0, []
    tail = most // 2
    return list(found[: most - tail]), len(found) - most, list(found[-tail:])


def mark(event: Event) -> tuple[str, bool] | None:
    """A step's name in a figure and whether it is urgent; None: it has none."""
    if event.kind is EventKind.ROLLOUT:
        if event.reason == "WeightWritten":
            share = event.data.get("weight")
            if share == 0.0 and "to the canary" in event.message:
                return "all to the primary", False
            if "experiment" in event.message:
                return "experiment", False
            return (f"{100.0 * share:.3g} %", False) if share and share < 1.0 else (_all(event.message), False)
        if event.reason == "TrafficSwitched":
            return event.message, False
        if event.reason in ("Promoted", "PromotionFinished"):
            return "promoted", False
        if event.reason in _URGENT:
            return _ROLLOUT[event.reason] or event.message.partition(";")[0], True
    if _is_analysis(event) and event.reason in ("Failed", "Error", "Inconclusive"):
        return f"analysis {event.reason.lower()}", True
    return None


def _all(message: str) -> str:
    return message.replace("100 % of requests", "all requests")


def paused_at_end(record: RunRecord) -> bool:
    """Was the rollout waiting in a pause when the run ended?"""
    return last_pause(record) is not None


def last_pause(record: RunRecord) -> Event | None:
    """The pause that the run's end met."""
    phases = [event for event in record.events if event.kind is EventKind.CONDITION]
    return phases[-1] if phases and phases[-1].reason in ("Paused", "DeploymentPaused") else None


def _is_analysis(event: Event) -> bool:
    return event.kind is EventKind.ALERT and event.subject.startswith("analysis/")


def _is_progressive(event: Event) -> bool:
    return event.reason in ("UpdateDetected", "NewRevisionDetected", *_MOVES) or _is_analysis(event)


def _text(event: Event, *, sizes: bool) -> str:
    """What an event says in a step; empty: nothing."""
    match event.kind:
        case EventKind.RELEASE:
            return event.message if event.reason == "Release" else f"by hand: {event.message}"
        case EventKind.ROLLOUT:
            return _rollout(event, sizes=sizes)
        case EventKind.ALERT if _is_analysis(event):
            return _analysis(event)
        case _:
            return ""


def _rollout(event: Event, *, sizes: bool) -> str:
    if event.reason in _SIZES:
        return f"{event.subject}: {event.message} pods" if sizes and event.data.get("size") else ""
    if event.reason not in _ROLLOUT:
        return ""
    if event.reason == "ScaleDownDeadlinePassed":
        return f"{event.subject}: {event.message} pods" if event.data else ""
    if _ROLLOUT[event.reason]:
        return _ROLLOUT[event.reason]
    # What Flagger says of a tick: weights are told by themselves.
    parts = event.message.split("; ")
    return "; ".join(part for part in parts if not part.startswith(("iteration advanced", "weights ")))


def _analysis(event: Event) -> str:
    """A verdict; what was measured on the way only where it was bad."""
    name = f"analysis {event.subject.removeprefix('analysis/')}"
    match event.reason:
        case "Running":
            return f"{name} begins"
        case "Successful":
            return f"{name} successful" if event.message != "run terminated" else f"{name} ends with the rollout"
        case "Failed" | "Error" | "Inconclusive":
            return f"{name} {event.reason.lower()}"
        case _:
            return event.message.replace(": nan (", ": no data (")


__all__ = ["MAX_STEPS", "Step", "last_pause", "mark", "paused_at_end", "shortened", "steps"]
