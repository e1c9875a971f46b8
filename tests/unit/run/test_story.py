"""What is kept of a run: lives of pods, and the journal as events."""

from zdsim.cluster.journal import EntryKind, Journal
from zdsim.record import EventKind, RolloutFacts
from zdsim.run.story import Story, events_of


def test_every_kind_of_entry_becomes_an_event() -> None:
    """From time 0 on, with a CamelCase reason and a sentence, whatever the writer left out."""
    journal = Journal()
    for i, kind in enumerate(EntryKind):
        journal.write(-1.0, kind, "web", "before-time", "not told")
        journal.write(float(i), kind, "web-1", "some_word")
    events = events_of(journal, {"web-1": "pod/web-1"})
    assert len(events) == len(EntryKind)
    assert {event.subject for event in events} == {"pod/web-1"}
    for event in events:
        assert isinstance(event.kind, EventKind)
        assert event.message
        assert event.reason[0].isupper()
        assert not {"-", "_", " "} & set(event.reason)


def test_ends_tell_their_exit_code_and_what_they_cut_off() -> None:
    journal = Journal()
    journal.write(1.0, EntryKind.CONTAINER_ENDED, "p", "oom_killed", exit_code=137, cut_off=3)
    journal.write(2.0, EntryKind.CONTAINER_ENDED, "p", "drained", exit_code=0, cut_off=0)
    killed, drained = events_of(journal, {})
    assert (killed.reason, killed.message) == (
        "ContainerOomKilled",
        "container oom killed, exit code 137, 3 requests cut off",
    )
    assert drained.message == "container drained, exit code 0"


def test_facts_look_only_between_start_and_end() -> None:
    """What held when the rollout began counts; what came after its end does not."""
    story = Story()
    for t, n in [(-5.0, 4), (10.0, 3), (20.0, 4), (30.0, 0)]:
        story.available(t, n)
    assert story.rollout(5.0, 25.0, "complete", 60.0) == RolloutFacts(5.0, 25.0, "complete", 3, None)
    assert story.rollout(12.0, 15.0, "x", 60.0).min_available == 3
    assert story.rollout(5.0, None, "progressing", 60.0).min_available == 0
    assert story.rollout(None, None, "none", 60.0) == RolloutFacts(None, None, "none", None, None)


def test_the_completion_that_is_asked_for() -> None:
    story = Story()
    for t, template in [(-1.0, "v1"), (8.0, "v2"), (20.0, "v1"), (30.0, "v2")]:
        story.completed(t, template)
    assert story.completed_after(0.0, "v1") == 20.0
    assert story.completed_after(8.0, "v2") == 8.0
    assert story.completed_after(8.1, "v2") == 30.0
    assert story.completed_after(0.0, "v3") is None
