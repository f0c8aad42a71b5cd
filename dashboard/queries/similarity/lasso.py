"""The lasso: a polygon on a map, kept in the URL as `<map>.<corners>`.

`<map>` are the 8 hex digits that identify the coordinates it was drawn on, so that it never chooses photos on another
map; `<corners>` are uint16 x and y of each corner, little-endian, in base64url. A few hundred characters choose any
number of photos.
"""

import base64
import binascii
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAX_CORNERS = 256


@dataclass(frozen=True)
class Lasso:
    map_id: str
    corners: NDArray[np.int64]
    """(K, 2), K at least 3, in units of the map: 0..65535."""

    @classmethod
    def parse(cls, text: str) -> "Lasso":
        """Raises `ValueError`. `text`: a value that `parse_lasso` of `dashboard.state.url_values` accepts."""
        map_id, _, corners = text.partition(".")
        try:
            data = base64.b64decode(corners + "=" * (-len(corners) % 4), altchars=b"-_", validate=True)
        except binascii.Error:
            raise ValueError("the corners of a lasso are base64url") from None
        if len(data) % 4 or not 3 <= len(data) // 4 <= MAX_CORNERS:
            raise ValueError(f"a lasso has 3 to {MAX_CORNERS} corners of 4 bytes")
        return cls(map_id, np.frombuffer(data, "<u2").reshape(-1, 2).astype(np.int64))

    @property
    def path(self) -> str:
        """The corners as in the URL, without the map."""
        return base64.urlsafe_b64encode(self.corners.astype("<u2").tobytes()).decode().rstrip("=")

    def contains(self, points: NDArray[np.uint16]) -> NDArray[np.bool_]:
        """(N, 2) -> bool (N,): which points lie inside, by the even-odd rule; in integers, as `map_points.js` does."""
        low, high = self.corners.min(axis=0), self.corners.max(axis=0)
        near = np.flatnonzero(((points >= low) & (points <= high)).all(axis=1))
        x, y = points[near].astype(np.int64).T
        inside = np.zeros(len(near), bool)
        for (xa, ya), (xb, yb) in zip(self.corners, np.roll(self.corners, 1, axis=0), strict=True):
            if ya == yb:
                continue
            side = (xb - xa) * (y - ya) - (x - xa) * (yb - ya)
            crosses = (ya > y) != (yb > y)
            inside ^= crosses & (side > 0 if yb > ya else side < 0)
        result = np.zeros(len(points), bool)
        result[near] = inside
        return result
