"""The regular expressions of `matches` and of metric names, against Python's own."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zdsim.analysis.safe_regex import RegexError, compile_regex

PIECES = st.sampled_from(
    ["a", "b", ".", "*", "+", "?", "(", ")", "|", "[ab]", "[^a]", "^", "$", r"\w", r"\b", "{1,2}", "(?:", "{2}", "{0,}"]
)


@settings(max_examples=500, deadline=None)
@given(pieces=st.lists(PIECES, max_size=9), text=st.text("ab c", max_size=7))
def test_it_finds_what_python_finds(pieces: list[str], text: str) -> None:
    pattern = "".join(pieces)
    try:
        found = compile_regex(pattern).search(text)
        expected = re.compile(pattern)
    except (RegexError, re.error):
        return
    assert found == bool(expected.search(text))


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("error", "an error here", True),
        ("^error", "an error", False),
        ("(?i)ERROR", "an error", True),
        (r"v\d+\.\d+$", "v1.20", True),
        (r"v\d+\.\d+$", "v1x20", False),
        ("[a-c]-[0-9]", "b-7", True),
        ("a.c", "a\nc", False),
        ("(?s)a.c", "a\nc", True),
        (r"\Aab\z", "ab", True),
        ("x{", "x{", True),
        ("(?P<name>a)b", "ab", True),
        ("", "", True),
    ],
)
def test_patterns_as_go_reads_them(pattern: str, text: str, expected: bool) -> None:
    assert compile_regex(pattern).search(text) is expected


@pytest.mark.parametrize(
    "pattern", ["(", ")", "[", "*a", "a**", "(?=a)", r"\1", "a{2000}", "(a{100}){100}", "[b-a]", "a" * 501, "\\"]
)
def test_what_is_refused(pattern: str) -> None:
    with pytest.raises(RegexError):
        compile_regex(pattern)


def test_a_pattern_that_hangs_others_does_not_hang_this() -> None:
    started = time.perf_counter()
    assert not compile_regex("(a*)*(a|aa)*b").search("a" * 2000)
    assert time.perf_counter() - started < 5.0
