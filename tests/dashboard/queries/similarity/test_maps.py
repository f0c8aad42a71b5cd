"""Places of points in the units of the map."""

import numpy as np
import pytest

from dashboard.queries.similarity.maps import to_units


def test_the_longer_side_fills_the_map_and_the_other_is_centred():
    units = to_units(np.array([[0, 0], [4, 0], [4, 2]], np.float32)).astype(int)
    assert units[1, 0] - units[0, 0] > 65000
    assert units.min() > 0
    assert units.max() < 65535
    assert units[0, 1] - units[2, 1] == pytest.approx((units[1, 0] - units[0, 0]) / 2, abs=1)  # y points downwards
    assert units[:, 1].min() + units[:, 1].max() == pytest.approx(65535, abs=1)


@pytest.mark.parametrize("points", [[[3, 4]], [[1, 1], [1, 1]]])
def test_points_that_are_all_the_same_stand_in_the_middle(points):
    assert set(to_units(np.array(points, np.float32)).ravel().tolist()) <= {32767, 32768}


def test_no_points():
    assert to_units(np.zeros((0, 2), np.float32)).shape == (0, 2)
