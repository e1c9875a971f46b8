"""Conditions of AnalysisTemplates: tables after argo-rollouts utils/evaluate/evaluate_test.go and its documentation."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zdsim.analysis.conditions import (
    Condition,
    ConditionError,
    EvaluationError,
    Value,
    compile_condition,
    eval_condition,
)

NAN = math.nan
APDEX: Value = {"service_apdex": {"label": None, "values": {"values": [2.0, 2.0]}}}


@pytest.mark.parametrize(
    ("result", "condition", "expected"),
    [
        # what upstream's tests and documentation use
        (True, "true", True),
        (True, "result == true", True),
        (True, "result == false", False),
        (5.0, "result > 1", True),
        ([0.97], "result[0] >= 0.95", True),
        ([0.94], "result[0] >= 0.95", False),
        ([2.0, 2.0], "2 in result", True),
        (APDEX, "all(result.service_apdex.values.values, {# > 1})", True),
        (APDEX, "all(result.service_apdex.values.values, # > 1)", True),
        (APDEX, "result.service_apdex.label == nil", True),
        ([], "len(result) == 0 || result[0] < 0.01", True),
        ([0.5], "len(result) == 0 || result[0] < 0.01", False),
        ("1", "asInt(result) == 1", True),
        (1.123, "asInt(result) == 1", True),
        (-1.9, "asInt(result) == -1", True),
        ("1.1", "asFloat(result) >= 1.1", True),
        (1, "asFloat(result) == 1", True),
        (None, "default(result, 0) < 0.05", True),
        (0.5, "default(result, 0) < 0.05", False),
        (None, "isNil(result) ? false : result < 0.05", False),
        (None, "isNil(result) || result < 0.05", True),
        (NAN, "isNaN(result)", True),
        (NAN, "isNaN(result) || result >= 0.95", True),
        (math.inf, "isInf(result)", True),
        ({"ok": True, "code": 200.0}, "result.ok && result.code in [200, 204]", True),
        ({"code": "200"}, 'result["code"] == "200"', True),
        # NaN compares false
        (NAN, "result == result", False),
        (NAN, "result >= 0.95", False),
        (NAN, "result < 0.95", False),
        (NAN, "result != 1", True),
        ([NAN], "1 in result", False),
        # operators and their binding
        (1, "2 + 3 * 4 == 14 and 2 ** 3 ** 2 == 512 and -2 ** 2 == -4", True),
        (1, "7 / 2 == 3.5 && 7 % 4 == 3 && -7 % 4 == -3 && 1 / 0 > 1e300", True),
        (1, "not false and !false or false", True),
        (2, "1 < result <= 2", True),
        (2, "1 < result < 2", False),
        (2, "result in 1..3 && result not in 3..5 && len(5..1) == 0", True),
        (None, "(result ?? 3) == 3", True),
        ({}, "result?.a?.b == nil and result.a == nil", True),
        ({"a": [1.0, 2.0, 3.0]}, "result.a[-1] == 3 && result.a[1:] == [2, 3] && result.a[:1] == [1]", True),
        ("release-12", "result matches '^release-[0-9]+$' && result contains 'lease' && result startsWith 'rel'", True),
        ("abc", "result endsWith 'bc' && result not contains 'x' && result[1:] == 'bc' && len(result) == 3", True),
        ({"a": 1.0}, "'a' in result && 'b' not in result", True),
        (1, "{a: 1, 'b': [1, 2]}.b[1] == 2", True),
        # functions with closures
        ([1.0, 5.0], "any(result, # > 4) && none(result, # > 5) && one(result, # > 4)", True),
        ([1.0, 5.0], "count(result, # > 4) == 1 && sum(result) == 6 && mean(result) == 3", True),
        ([1.0, 5.0], "max(result) == 5 && min(result) == 1 && max(result[0], 2, [3]) == 3", True),
        ([1.0, 5.0], "filter(result, # > 1)[0] == 5 && map(result, # * 2) == [2, 10] && sum(result, # + 1) == 8", True),
        ({"v": [{"n": 3.0}]}, "all(result.v, .n > 2) && all(result.v, {#.n > 2})", True),
        ([], "all(result, # > 1) && !any(result, # > 1) && sum(result) == 0", True),
        (-2.5, "abs(result) == 2.5 && round(result) == -3 && ceil(result) == -2 && floor(result) == -3", True),
        (2.7, "int(result) == 2 && int('7') == 7 && float('1e3') == 1000 && string(result) == '2.7'", True),
        (3.0, "string(result) == '3' && string([1, true, nil]) == '[1 true <nil>]'", True),
        # what comes out of JSON has no type: comparing it with another type is false, not an error
        ({"code": 200.0}, "result.code == '200'", False),
        # upstream looks at result, whatever the argument is
        ({"a": None}, "isNil(result.a)", False),
        (1, "9223372036854775807 + 1 < 0", True),
    ],
)
def test_conditions_hold_or_not(result: Value, condition: str, expected: bool) -> None:
    assert compile_condition(condition).evaluate(result) is expected


@pytest.mark.parametrize(
    ("result", "condition", "column"),
    [
        (True, "1", None),  # must be a bool
        (5.0, "result", None),
        ([], "result[0] > 1", 8),
        ([1.0], "result[1] > 1", 8),
        (5.0, "result[0] > 1", 8),  # a single number has no elements
        (5.0, "len(result) == 0 || result[0] < 1", 1),  # types count in branches that are not run
        (True, "true || result.a", 16),
        (5.0, "result == '5'", 8),  # mixed types
        ("1.1", "asInt(result) == 1", 1),
        ("x", "asFloat(result) == 1", 1),
        ("1.1", 'asFloat(result) == "1.1"', 17),
        (None, "result > 1", 8),
        (None, "result[0] > 1", 8),
        ({}, "result.a.b == 1", 10),
        ({"a": "x"}, "result.a > 1", 10),
        (2, "not result > 1", 1),  # not binds tighter than >
        (1, "7 % 0 == 1", 3),
        (4.0, "result % 2 == 0", 8),
        (NAN, "asInt(result) == 0", 1),
        (1, "len(0..1000000) > 1", None),
        (1, "count(0..900, {count(0..900, # > 1) > 2}) > 1", None),
        ("(", "result matches result", 16),
        ("a" * 400_000, "result matches '(a|b)*c'", 8),
    ],
)
def test_what_cannot_be_answered_is_an_error_with_its_place(result: Value, condition: str, column: int | None) -> None:
    with pytest.raises(EvaluationError) as caught:
        compile_condition(condition).evaluate(result)
    assert caught.value.column == column


@pytest.mark.parametrize(
    ("condition", "column", "says"),
    [
        ("", 1, "found nothing"),
        ("invalidVariable", 1, "unknown name invalidVariable"),
        ("reslt > 1", 1, "did you mean result?"),
        ("asint(result) > 1", 1, "did you mean asInt?"),
        ("a == true", 1, "unknown name a"),
        ("result >", 9, "found the end"),
        ("(result > 1", 12, "expected )"),
        ("result > 1)", 11, "found ')'"),
        ("result = 1", 8, "compare with =="),
        ("result.Name() == 'hi'", 12, "only the known functions"),
        ("result | len()", 8, "pipes are not taken"),
        ("# > 1", 1, "outside a closure"),
        ("result ?? 1 > 2", 13, "write (a ?? b) in parentheses"),
        ("len(1, 2)", 1, "it takes 1"),
        ("all(result)", 1, "write all(result, # > 1)"),
        ("'abc", 1, "closing '"),
        ("result == 99999999999999999999", 11, "2**63"),
        ("result matches '('", 16, "found ( without its )"),
        ("len > 1", 1, "it is a function"),
        ("1 +\n  foo", 7, "unknown name foo"),
    ],
)
def test_what_cannot_be_read_says_where_and_why(condition: str, column: int, says: str) -> None:
    with pytest.raises(ConditionError) as caught:
        compile_condition(condition)
    assert caught.value.column == column
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "condition", ["(" * 4000, "!" * 4000 + "true", "1+" * 3000 + "1", "[" * 2000 + "]" * 2000, "x" * 9999]
)
def test_no_text_is_too_large_to_be_refused(condition: str) -> None:
    with pytest.raises(ConditionError):
        compile_condition(condition)


def test_a_deep_result_is_an_error_and_no_crash() -> None:
    deep: Value = []
    for _ in range(50_000):
        deep = [deep]
    with pytest.raises(EvaluationError):
        eval_condition([deep, deep], "result[0] == result[1]")


def test_conditions_are_equal_by_their_text() -> None:
    assert compile_condition("result > 1") == Condition("result > 1", compile_condition("result > 2")._tree)
    assert str(compile_condition("result > 1")) == "result > 1"


WORDS = st.sampled_from("""
    result result[0] # 0 1.5 'a' true nil ( ) [ ] { } && || ! not in .. ?? ? : ?. .a + - * / % ** == < >= matches
    contains all( any( map( count( sum( len( min( mean( asInt( string( default( isNaN( , 9223372036854775807 {a:1}
    [1,2] // ` \\ é
""".split())  # fmt: skip  # noqa: SIM905
SIGNS = "+ - * / % ** == != < >= && || in .. ?? matches contains"
CALLS = "len abs ceil round int float string asInt asFloat isNaN isNil min mean"
FOLDS = "all any one none map filter count sum"
RESULTS: list[Value] = [
    None, 1.0, NAN, math.inf, 3, True, "abc", "12", [], [1.0, 2.0], [1, "a", None], {"a": [1, 2]}, 10**400, 1e308
]  # fmt: skip


def operands(pointer: bool) -> st.SearchStrategy[str]:
    leaves = ["1", "0", "result", "'a'", "1.5", "true", "nil", "[1, 2]", "result.a", "-9223372036854775807"]
    base = st.sampled_from([*leaves, "#"] if pointer else leaves)

    def grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        signs = st.sampled_from(SIGNS.split())
        calls = st.sampled_from(CALLS.split())
        folds = st.sampled_from(FOLDS.split())
        return st.one_of(
            st.builds("({} {} {})".format, inner, signs, inner),
            st.builds("{}({})".format, calls, inner),
            st.builds("{}({}, {{{}}})".format, folds, inner, inner if pointer else st.just("# > 1")),
            st.builds("({} ? {} : {})".format, inner, inner, inner),
            st.builds("({})[{}:{}]".format, inner, inner, inner),
            st.builds("!({})".format, inner),
        )

    return st.recursive(base, grow, max_leaves=12)


TEXTS = st.one_of(st.lists(WORDS, max_size=14).map(" ".join), operands(pointer=False), st.text(max_size=30))


@settings(max_examples=400, deadline=None)
@given(text=TEXTS, result=st.sampled_from(RESULTS))
def test_only_the_two_errors_ever_leave(text: str, result: Value) -> None:
    started = time.perf_counter()
    try:
        assert isinstance(compile_condition(text).evaluate(result), bool)
        column: int | None = 1
    except (ConditionError, EvaluationError) as error:
        column = error.column
    assert column is None or 1 <= column <= len(text) + 1
    assert time.perf_counter() - started < 5.0


@given(value=st.floats(), limit=st.floats(allow_nan=False, allow_infinity=False))
def test_a_comparison_and_its_mirror_agree(value: float, limit: float) -> None:
    """And with Python's own, NaN included."""
    written = f"{limit!r}" if limit >= 0 else f"(-{-limit!r})"
    assert eval_condition(value, f"result < {written}") == (value < limit)
    assert eval_condition(value, f"{written} > result") == (value < limit)
    assert eval_condition([value], f"result[0] >= {written}") == (value >= limit)
