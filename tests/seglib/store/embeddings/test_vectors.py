"""Vectors in float16 and what is read of them."""

import numpy as np
import pytest

from seglib.store.embeddings.vectors import widen

EVERY = np.arange(1 << 16, dtype=np.uint16).view("<f2").reshape(256, 256)
"""Every float16 there is: zeros of both signs, subnormal numbers, infinities, and what is no number."""


@pytest.mark.parametrize("finite", [True, False])
def test_float16_is_widened_as_numpy_does_it(finite):
    rows = EVERY[np.isfinite(EVERY).all(axis=1)] if finite else EVERY
    assert len(rows) == (248 if finite else 256)
    assert widen(rows).tobytes() == rows.astype(np.float32).tobytes()


def test_parts_of_rows_and_none_are_widened():
    rows = EVERY[8:16]
    assert (widen(rows[::3]) == rows[::3].astype(np.float32)).all()
    assert widen(rows[:0]).shape == (0, 256)
