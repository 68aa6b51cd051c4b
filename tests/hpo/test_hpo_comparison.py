"""Means over folds, differences of two trials, and the gap to the tests, with their intervals."""

import math

import pytest
from scipy.stats import ttest_1samp, ttest_ind, ttest_rel

from tutelage.core.chance import (
    Interval,
    corrected_standard_error,
    holm,
    over_folds,
    over_seeds,
    paired_test,
)
from tutelage.hpo.comparison import gap

ONE = [0.71, 0.74, 0.69, 0.73, 0.70]
OTHER = [0.68, 0.72, 0.69, 0.69, 0.68]


def test_the_variance_is_corrected_for_training_data_that_overlap() -> None:
    # Nadeau & Bengio, equation 8, by hand: mean square deviation 0.00043, J = 5, n2/n1 = 1/4
    assert corrected_standard_error(ONE, 5) == pytest.approx(math.sqrt((0.2 + 0.25) * 0.00043))


def test_without_the_correction_the_paired_test_would_be_students() -> None:
    exact = ttest_rel(ONE, OTHER)
    for found in (paired_test(ONE, OTHER, 10**9), paired_test(ONE, OTHER)):
        assert found.difference.mean == pytest.approx(0.022)
        assert found.p_value == pytest.approx(exact.pvalue)
        assert (found.difference.low, found.difference.high) == pytest.approx(
            tuple(exact.confidence_interval(0.95))
        )


def test_the_corrected_test_is_less_sure() -> None:
    sure, less = (paired_test(ONE, OTHER, folds).p_value for folds in (10**9, 5))
    assert sure is not None and less is not None
    assert sure < 0.05 < less


def test_one_fold_tells_nothing_and_no_difference_is_none() -> None:
    assert paired_test([0.7], [0.6], 1).p_value is None
    assert over_folds([0.7], 1) == Interval(0.7)
    assert paired_test(ONE, ONE, 5).p_value == 1.0
    assert paired_test([x + 0.5 for x in (1, 2, 3)], [1, 2, 3], 3).p_value == 0.0


def test_seeds_have_students_interval() -> None:
    exact = ttest_1samp(ONE, 0).confidence_interval(0.95)
    found = over_seeds(ONE)
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high))
    assert over_seeds([0.5]) == Interval(0.5)


def test_the_gap_is_welchs_but_for_the_correction() -> None:
    test = [0.61, 0.66, 0.64]
    exact = ttest_ind(ONE, test, equal_var=False).confidence_interval(0.95)
    found = gap(ONE, 10**9, test)
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high))
    wider = gap(ONE, 5, test)
    assert wider.mean == pytest.approx(0.714 - 0.6366666)
    assert wider.low is not None and found.low is not None and wider.low < found.low
    assert gap(ONE, 5, [0.6]) == Interval(pytest.approx(0.114))
    assert gap([0.5, 0.5], 2, [0.4, 0.4]) == Interval(pytest.approx(0.1), *[pytest.approx(0.1)] * 2)


def test_many_tests_are_adjusted_as_holm_says() -> None:
    # the smallest times 4, the next times 3, and so on; never less than a smaller one's
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0] and holm([]) == []
