"""The bits of JAX, computed with NumPy: JAX itself is the oracle."""

import jax
import numpy as np
import pytest

from chainrule.training.random_bits import bits, folded_in, key_of


@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**32 - 1])
@pytest.mark.parametrize("numbers", [(), (0,), (7, 2**31 - 1, 3)])
def test_equal_to_jax(seed, numbers):
    ours, theirs = key_of(seed), jax.random.key(np.uint32(seed), impl="threefry2x32")
    for number in numbers:
        ours, theirs = folded_in(ours, number), jax.random.fold_in(theirs, number)
    for shape in [(1,), (5, 3), (40, 17)]:
        np.testing.assert_array_equal(bits(ours, shape), jax.random.bits(theirs, shape, "uint32"))
