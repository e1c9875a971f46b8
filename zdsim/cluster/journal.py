"""What happened, when, to whom, and for which reason?

Everybody in the cluster writes here and nobody decides by what stands here. Entries are kept in order of writing,
which is order of time, because they are written from control events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final, TypeAlias

__all__ = ["Datum", "Entry", "EntryKind", "Journal"]

Datum: TypeAlias = str | int | float | bool | None
_NOTHING: Final[Mapping[str, Datum]] = MappingProxyType({})


class EntryKind(StrEnum):
    """What sort of thing an entry tells."""

    ACTION = "action"  # an operator or pipeline asked for something: set template, scale, pause, undo
    ROLLOUT_STEP = "rollout_step"  # a controller changed a size, a weight or a stage
    CONDITION = "condition"  # a condition of an object changed
    POD = "pod"  # a pod was created, scheduled, became ready, was deleted, is gone
    CONTAINER_STARTED = "container_started"
    CONTAINER_ENDED = "container_ended"  # data: exit_code, reason, cut_off (attempts lost with it)
    PROBE = "probe"  # a probe's verdict changed
    ENDPOINTS = "endpoints"  # the endpoint slice changed
    FAULT = "fault"  # an injected fault began or ended
    DATABASE = "database"  # a migration began, waited, ended
    ANALYSIS = "analysis"  # a verdict over a window
    ALERT = "alert"  # an alert began or ended
    ROLLBACK = "rollback"  # a stage of going back: onset, detected, decided, diverted, restored
    WARNING = "warning"  # something a reader of the run should know


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal.

    `subject` names the object it is about; `reason` is the value of the writer's Reason enum; `data` holds numbers.
    """

    time: float
    kind: EntryKind
    subject: str
    reason: str
    message: str = ""
    data: Mapping[str, Datum] = field(default_factory=lambda: _NOTHING)


@dataclass(slots=True)
class Journal:
    """The entries of one run, in order."""

    entries: list[Entry] = field(default_factory=list)
    _listeners: list[Callable[[Entry], None]] = field(default_factory=list)

    def write(self, time: float, kind: EntryKind, subject: str, reason: str, message: str = "", **data: Datum) -> Entry:
        """Note that `reason` befell `subject` at `time` seconds."""
        entry = Entry(time, kind, subject, str(reason), message, MappingProxyType(data) if data else _NOTHING)
        self.entries.append(entry)
        for listener in self._listeners:
            listener(entry)
        return entry

    def listen(self, listener: Callable[[Entry], None]) -> None:
        """Call `listener` with every entry from now on, at once."""
        self._listeners.append(listener)

    def of_kind(self, *kinds: EntryKind) -> list[Entry]:
        """Entries of these kinds, in order."""
        return [entry for entry in self.entries if entry.kind in kinds]

    def about(self, subject: str) -> list[Entry]:
        """Entries about one subject, in order."""
        return [entry for entry in self.entries if entry.subject == subject]

    def first(self, kind: EntryKind, reason: str | None = None, *, after: float = float("-inf")) -> Entry | None:
        """The first entry of `kind` (and `reason`) at or after `after`; None if it never came."""
        for entry in self.entries:
            if entry.kind is kind and entry.time >= after and reason in (None, entry.reason):
                return entry
        return None

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)
