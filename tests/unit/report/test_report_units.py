"""Numbers for readers: with units, and never rounded into a lie."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

import zdsim.measure.intervals
import zdsim.report.units
from zdsim.report.units import count, milliseconds, percent, seconds, significant


@pytest.mark.parametrize("module", [zdsim.report.units, zdsim.measure.intervals])
def test_examples_in_docstrings_are_true(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]


@given(st.floats(1e-9, 1.0 - 1e-9))
def test_a_share_is_never_told_as_none_or_all(share: float) -> None:
    assert percent(share) not in ("0 %", "100 %")


@given(st.floats(1e-6, 1e6))
def test_three_digits_are_within_half_a_per_cent(value: float) -> None:
    assert float(significant(value).replace(",", "")) == pytest.approx(value, rel=0.0051)


@given(st.floats(-1e7, 1e7) | st.none() | st.just(float("nan")))
def test_every_time_is_ascii_and_short(t: float | None) -> None:
    text = seconds(t)
    assert text.isascii()
    assert len(text) <= 16


def test_what_is_missing_is_a_dash() -> None:
    assert [count(None), percent(None), seconds(float("nan")), milliseconds(None)] == ["-"] * 4
