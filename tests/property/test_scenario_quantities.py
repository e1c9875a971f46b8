"""Laws of how quantities are written: what is written is read back, and anything else is a QuantityError."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zdsim.scenario import quantities as q

PARSERS = [
    q.parse_duration,
    q.parse_go_duration,
    q.parse_share,
    q.parse_rate,
    q.parse_quantity,
    q.parse_cpu,
    q.parse_memory,
    q.parse_int_or_percent,
]
ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=10**300, max_value=10**400),
    st.floats(),
    st.text(),
    st.text(alphabet="0123456789.eE+-%/kKMGimsnuµhd ", max_size=80),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


@given(seconds=st.floats(min_value=0.0, max_value=1e9, allow_subnormal=False))
def test_a_written_duration_is_read_back_exactly(seconds: float) -> None:
    if seconds and seconds < 1e-6:
        seconds = 0.0
    assert q.parse_duration(q.format_duration(seconds)) == seconds


@given(value=ANYTHING)
def test_any_value_is_a_finite_number_or_a_quantity_error(value: object) -> None:
    for parse in PARSERS:
        try:
            found = parse(value)
        except q.QuantityError:
            continue
        else:
            assert isinstance(found, str | Decimal) or math.isfinite(found)


@given(hours=st.integers(0, 99), minutes=st.integers(0, 99), seconds=st.integers(0, 99), ms=st.integers(0, 999))
def test_parts_of_a_duration_add_up(hours: int, minutes: int, seconds: int, ms: int) -> None:
    text = f"{hours}h{minutes}m{seconds}s{ms}ms"
    expected = Fraction(hours * 3600 + minutes * 60 + seconds) + Fraction(ms, 1000)
    assert q.parse_duration(text) == q.parse_go_duration(text) == float(expected)


@given(number=st.decimals(min_value=0, max_value=10**6, places=3), exponent=st.sampled_from(range(1, 7)))
def test_binary_suffixes_are_powers_of_1024(number: Decimal, exponent: int) -> None:
    suffix = ("Ki", "Mi", "Gi", "Ti", "Pi", "Ei")[exponent - 1]
    assert Fraction(q.parse_quantity(f"{number}{suffix}")) == Fraction(number) * 1024**exponent


@given(percent=st.integers(0, 100), total=st.integers(0, 5000))
def test_surge_rounds_up_and_unavailable_down(percent: int, total: int) -> None:
    up = q.scaled(f"{percent}%", total, round_up=True)
    down = q.scaled(f"{percent}%", total, round_up=False)
    assert down <= Fraction(percent * total, 100) <= up
    assert up - down in (0, 1)


# Kubernetes 1.36 defaults, 25 % of N (design table: N -> surge, unavailable before the fencepost rule).
@pytest.mark.parametrize(
    ("total", "surge", "unavailable"),
    [(1, 1, 0), (2, 1, 0), (3, 1, 0), (4, 1, 1), (5, 2, 1), (7, 2, 1), (8, 2, 2), (10, 3, 2), (20, 5, 5)],
)
def test_a_quarter_of_the_pods(total: int, surge: int, unavailable: int) -> None:
    assert q.scaled("25%", total, round_up=True) == surge
    assert q.scaled("25%", total, round_up=False) == unavailable


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("10 minutes", "unknown unit", "write 'm'"),
        ("5sec", "unknown unit", "write 's'"),
        ("1h30", "expected a duration", "1h30m"),
        ("", "expected a duration", "90s"),
        ("1e400", "finite", ""),
        ("٣s", "expected a duration", ""),
        ("1_000", "expected a duration", ""),
    ],
)
def test_a_bad_duration_says_what_to_write(text: str, message: str, hint: str) -> None:
    with pytest.raises(q.QuantityError, match=message) as caught:
        q.parse_duration(text)
    assert hint in caught.value.hint


@pytest.mark.parametrize("text", ["1GB", "2 Gi", "1gi", "500 cpu"])
def test_a_bad_quantity_is_corrected(text: str) -> None:
    with pytest.raises(q.QuantityError) as caught:
        q.parse_quantity(text)
    assert "did you mean" in caught.value.hint


def test_go_durations_need_units() -> None:
    for text in ("90", "1d", ""):
        with pytest.raises(q.QuantityError):
            q.parse_go_duration(text)
    assert q.parse_go_duration("1.5h") == 5400.0
