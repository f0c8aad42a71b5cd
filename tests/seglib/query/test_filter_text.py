"""What a filter quotes of a text that it refuses."""

import pytest

from seglib.errors import FilterError
from seglib.query.filters import Filters

LONG = "x" * 100_000


@pytest.mark.parametrize(
    "text", [LONG, f"label=+{LONG}", f"label=%ff{LONG}", f"{LONG}=1", f"width={LONG}", f"confidence={LONG}"]
)
def test_a_refusal_quotes_only_the_beginning_of_a_long_text(text):
    with pytest.raises(FilterError) as refused:
        Filters.decode(text)
    assert len(str(refused.value)) < 800
