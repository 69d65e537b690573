"""Which rows train, validate and test."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from chainrule.tables.splitting import split_rows


@given(st.integers(1, 300), st.floats(0, 0.9), st.floats(0, 0.9), st.integers(0, 9), st.booleans())
def test_every_row_is_in_one_part_and_training_is_never_empty(n, test, validation, seed, stratified):
    strata = np.arange(n) % 3 if stratified else None
    split = split_rows(n, test, validation, seed, strata)
    assert sorted(np.concatenate(split).tolist()) == list(range(n))
    assert len(split.train) >= (min(n, 3) if stratified else 1)


def test_classes_keep_their_shares_in_every_part():
    strata = np.array([0] * 900 + [1] * 100)
    for part in split_rows(1000, 0.2, 0.2, 0, strata):
        assert np.mean(strata[part]) == 0.1


def test_many_small_classes_still_give_rows_to_every_part():
    strata = np.arange(100) % 50
    assert [len(part) for part in split_rows(100, 0.2, 0.2, 0, strata)] == [64, 16, 20]


def test_the_split_is_a_function_of_the_seed():
    first, again, other = (split_rows(100, 0.2, 0.2, seed).test.tolist() for seed in (1, 1, 2))
    assert first == again != other
