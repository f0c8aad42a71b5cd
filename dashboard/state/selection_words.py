"""What a page is about in words: for the names of files, and for a line of text in pictures."""

from collections.abc import Collection
from dataclasses import dataclass

from dashboard.formatting import CHOICE_NAMES, slug
from dashboard.state.view import describe_filter
from seglib.query.filter_kinds.base import FilterValue
from seglib.query.filter_kinds.names import NamesFilter
from seglib.query.filters import FILTERS, Filters


@dataclass(frozen=True)
class SelectionWords:
    file_name: str = "photos"
    """Part of a file name, such as `my-class-photos-disagree`."""
    filters: str = ""
    """As the page shows them, such as `Dataset: my class photos; Folder: cats`; empty without any."""
    runs: str = ""
    """The runs that the page is about, such as `A: U-Net · 224, B: FCN · 224`."""

    @property
    def about(self) -> str:
        """Runs and filters in one line."""
        return "; ".join(filter(None, (self.runs, self.filters and f"selected: {self.filters}")))


def describe_selection(filters: Filters, datasets: Collection[str], runs: str = "") -> SelectionWords:
    """Return the words for the photos that pass the filters, of a run with these datasets."""
    named = [str(name) for name in filters.get("dataset", ())] or (list(datasets) if len(datasets) == 1 else [])
    parts = [*named] or ["photos"]
    for key, value in filters.items():
        if key != "dataset":
            parts += _file_words(key, value)
    shown = [describe_filter(key, value).replace("\N{NO-BREAK SPACE}", " ") for key, value in filters.items()]
    return SelectionWords(slug("-".join(parts)) or "photos", "; ".join(shown), runs)


def _file_words(key: str, value: FilterValue) -> list[str]:
    """Chosen names stand for themselves, a range needs to say of what it is."""
    if isinstance(value, str):
        return [value]
    if key in FILTERS and isinstance(FILTERS[key], NamesFilter):
        names = CHOICE_NAMES.get(key, {})
        return [names.get(str(v), str(v)) or f"no {FILTERS[key].label}" for v in value]
    return [describe_filter(key, value)]
