"""What the chosen photos are called: in a file name, and in a line of text."""

from collections.abc import Collection
from dataclasses import dataclass

from dashboard.formatting import slug
from dashboard.state.view import describe_filter
from seglib.query.columns import AGREEMENT_WORDS
from seglib.query.filters import FILTERS, Filters, FilterValue, NamesFilter


@dataclass(frozen=True)
class SelectionWords:
    file_name: str = "photos"
    """Part of a file name, such as `my-class-photos-disagree`."""
    sentence: str = ""
    """The filters as the page shows them, such as `Dataset: my class photos; Folder label: cats`; empty without any."""


def describe_selection(filters: Filters, datasets: Collection[str]) -> SelectionWords:
    """Return the words for the photos that pass the filters, of a store with these datasets."""
    named = [str(name) for name in filters.get("dataset", ())] or (list(datasets) if len(datasets) == 1 else [])
    parts = [*named] or ["photos"]
    for key, value in filters.items():
        if key != "dataset":
            parts += _file_words(key, value)
    sentence = "; ".join(
        describe_filter(key, value).replace("\N{NO-BREAK SPACE}", " ") for key, value in filters.items()
    )
    return SelectionWords(slug("-".join(parts)) or "photos", sentence)


def _file_words(key: str, value: FilterValue) -> list[str]:
    """Chosen names stand for themselves, a range needs to say of what it is."""
    if isinstance(value, str):
        return [value]
    if key in FILTERS and isinstance(FILTERS[key], NamesFilter):
        missing = f"no {FILTERS[key].label}"
        return [(AGREEMENT_WORDS.get(str(v), "") if key == "agreement" else str(v)) or missing for v in value]
    return [describe_filter(key, value)]
