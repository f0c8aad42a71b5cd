"""The state of a page as one frozen `View`, and its encoding as the query of the URL.

`decode` takes (key, text) pairs and returns a `View` and notes about what was dropped; `encode` is its inverse:
`decode(encode(v))[0] == v` for every view. The filter keys are those of `seglib.query.filters`, so this part of a URL
also works as `--where` on the command line.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from dashboard.formatting import choice_name, count, percent, score
from dashboard.state.own_columns import describe_column_filter, is_column_sort
from dashboard.state.url_values import (
    format_pair,
    one_of,
    parse_image_id,
    parse_lasso,
    parse_pair,
    parse_truth_id,
    whole_number,
)
from seglib.classes import ANIMALS
from seglib.errors import SegError, shorten
from seglib.query.columns import AGREEMENTS
from seglib.query.filter_kinds.base import FilterValue
from seglib.query.filter_kinds.ranges import CountRangeFilter
from seglib.query.filter_text import MAX_COUNT
from seglib.query.filters import FILTERS, Filters, find_filter
from seglib.query.own_chart.chart import ChartKind
from seglib.store.content import NO_CONTENT

Pairs = list[tuple[str, str]]

PALETTES: tuple[str, ...] = ("okabe-ito", "voc")
CHARTS: tuple[str, ...] = ("none", "classes", "certainty", "photos", "own")
"""Sets of charts; Explore shows one at a time, and none unless it is asked for."""

SHOW_MODES: tuple[str, ...] = ("gallery", "table")
PAGE_SIZE = 48
"""Photos per page of the gallery and of the table."""

OPACITY_RANGE = (0, 100)
SIZE_RANGE = (100, 360)
"""Height of a gallery row in CSS pixels, before the row is stretched to the page width."""

SORTS: dict[str, str] = {
    "path": "by path",
    "confidence": "least confident first",
    "-confidence": "most confident first",
    "-entropy": "highest entropy first",
    "entropy": "lowest entropy first",
    "-low_margin": "most undecided pixels first",
    "low_margin": "fewest undecided pixels first",
    "-share": "largest share of the chosen class first",
    "share": "smallest share of the chosen class first",
    "-blobs": "most regions of the chosen class first",
    "blobs": "fewest regions of the chosen class first",
}
"""Key in the URL -> label; a leading minus sorts in descending order. Own columns come on top: `column.iso`."""

COMPARE_SORTS: dict[str, str] = {
    "agreement": "least pixel agreement first",
    "foreground": "least foreground agreement first",
    "iou": "least IoU of the chosen class first",
    "area": "largest area difference of the chosen class first",
    "flip": "largest chosen flip first",
    "suspects": "masks that look wrong first",
}
SUSPECTS = "suspects"
"""Key in the URL -> label: sort orders for the photos of a comparison."""

DIFFERENCE_MODES: tuple[str, ...] = ("", "overlay", "swipe")
"""How the viewer shows two runs: side by side, as a difference overlay, or with a swipe divider."""

EVALUATE_SORTS: dict[str, str] = {
    "miou": "lowest mIoU first",
    "accuracy": "lowest pixel accuracy first",
    "boundary": "lowest boundary F-score first",
    "iou": "lowest IoU of the chosen class first",
    "mistakes": "most suspicious first",
    "quality": "lowest label quality first",
    "class-quality": "lowest label quality of the chosen class first",
    "place": "masks that fit better elsewhere first",
}
"""Key in the URL -> label: sort orders for the photos of an evaluation."""

MISTAKE_SORTS: tuple[str, ...] = ("mistakes", "quality", "class-quality", "place")
"""Those of them that rank likely mistakes in the ground truth."""

LAYERS: tuple[str, ...] = ("difference", "truth", "prediction", "doubts")
"""Layers that can be drawn over the photos of an evaluation."""

ORIGINS: tuple[str, ...] = ("", "compare", "evaluate", "similar")
"""The gallery from which the viewer was opened and whose order it follows; empty: Explore's."""

FINDS: tuple[str, ...] = ("map", "similar", "duplicates", "outliers")
"""What the page Similar shows."""

PROJECTIONS: tuple[str, ...] = ("pca", "umap", "pacmap")
"""Ways to draw embeddings as a map."""

TRY_MODES: tuple[str, ...] = ("photos", "live")
"""What the models of Try look at: the visitor's photos, or a camera."""

FIRST_PAGES: dict[str, Any] = {"page": 1, "compare_page": 1, "evaluate_page": 1, "found_page": 1, "n": 0}
"""View fields that reset every gallery to its first page, and forget what a link said of other photos."""

_VOCABULARY: dict[str, tuple[str, ...]] = {
    "split": ("", "train", "val", "test"),
    "animal": ("", *ANIMALS, "none"),
    "agreement": ("", *AGREEMENTS),
}
"""Filters whose possible values are known without querying a table."""


@dataclass(frozen=True, kw_only=True)
class View:
    """Everything that decides what a page shows; the URL holds the values that differ from these defaults."""

    filters: Filters = field(default_factory=Filters)
    run: str = ""
    """The active run; empty until the available runs are known."""
    focus: str = ""
    """The class whose share is charted, sorted by and filtered; `class` in the URL. Empty: the most frequent one."""
    sort: str = "path"
    page: int = 1
    """Page of Explore's gallery or table."""
    charts: str = "none"
    chart_kind: str = "histogram"
    chart_x: str = ""
    """Field along x of the chart of one's own choice; empty: one that most photos have. `x`, `y`, `kind` in the URL."""
    chart_y: str = ""
    chart_colour: str = ""
    show: str = "gallery"
    palette: str = "okabe-ito"
    overlay: bool = True
    opacity: int = 55
    """Opacity of the overlay in percent."""
    size: int = 180
    image: str = ""
    """The image_id shown in the viewer; empty: the first of the selection."""
    runs: tuple[str, ...] = ()
    """Runs shown beside the active one in the viewer and in a comparison; empty: all available runs."""
    outline: bool = False
    """Draw class outlines in the viewer instead of filled areas."""
    uncertainty: bool = False
    """Show the uncertainty map in the viewer."""
    names: bool = False
    """Write class names on the photo in the viewer."""
    hidden: tuple[str, ...] = ()
    """Classes that the viewer does not draw."""
    difference: str = ""
    """How the viewer shows the first two runs, one of `DIFFERENCE_MODES`."""
    origin: str = ""
    """The gallery whose order the viewer follows, one of `ORIGINS`; `from` in the URL."""
    against: str = ""
    """Run B, compared with the active run A; empty: the most recently used other run."""
    flip: tuple[str, ...] = ()
    """(class in A, class in B): show only photos of a comparison with such pixels; empty: all."""
    measure: str = "agreement"
    compare_page: int = 1
    """Page of the comparison gallery."""
    truth: str = ""
    """Id of the ground truth used for evaluation and shown in the viewer; empty: the default one."""
    cell: tuple[str, ...] = ()
    """(class in the ground truth, class in the run): show only photos of an evaluation with such pixels; empty: all."""
    grade: str = "miou"
    layer: str = "difference"
    evaluate_page: int = 1
    """Page of the evaluation gallery."""
    find: str = "map"
    """One of `FINDS`."""
    embeddings: str = ""
    """Name of the embeddings by which photos are similar; empty: the active run's, or else the first."""
    projection: str = "pca"
    """How the embeddings are drawn as a map."""
    colour: str = "label"
    """Name of the field that colours the map."""
    lasso: str = ""
    """The part of the map whose photos are shown (`queries.similarity.lasso`); empty: all of it."""
    similar: tuple[str, ...] = ()
    """Ids of the images whose look-alikes are shown."""
    found_page: int = 1
    """Page of the galleries of Similar."""
    demo: bool = False
    """Show the demo although one's own store has runs."""
    try_mode: str = "photos"
    """One of `TRY_MODES`; `try` in the URL."""
    by: str = ""
    """The field by which a comparison or an evaluation is cut into slices; empty: none."""
    n: int = 0
    """Number of photos that the figures counted when the link was made; 0: not said."""
    all_figures: bool = False
    """Show all figures of a comparison or an evaluation; `figures` in the URL."""

    def with_filters(self, filters: Filters) -> "View":
        """Return the view with other filters and every gallery reset to its first page."""
        return replace(self, filters=filters, **FIRST_PAGES)

    def with_filter(self, key: str, value: FilterValue | None) -> "View":
        return self.with_filters(self.filters.replace(key, value))


# --- the URL -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Field:
    """One field of the view other than the filters: its URL key, its attribute, and how to parse and format it."""

    key: str
    name: str
    read: Callable[[str], Any]
    write: Callable[[Any], str] = str
    repeated: bool = False
    """The attribute is a sorted tuple of unique values, each encoded as its own pair."""

    def parse(self, texts: Sequence[str]) -> Any:
        if self.repeated:
            return tuple(sorted({self.read(text) for text in texts if text}))
        return self.read(texts[-1])

    def to_texts(self, value: Any) -> list[str]:
        return [self.write(one) for one in value] if self.repeated else [self.write(value)]


def _switch(key: str, name: str, on: str = "on", off: str = "off") -> "_Field":
    read = one_of((on, off))
    return _Field(key, name, lambda text: read(text) == on, lambda value: on if value else off)


_PAGE = whole_number(1, 10**8)

_FIELDS: dict[str, _Field] = {
    entry.key: entry
    for entry in (
        _Field("run", "run", str),
        _Field("class", "focus", str),
        _Field("sort", "sort", lambda text: text if is_column_sort(text) else one_of(tuple(SORTS))(text)),
        _Field("page", "page", _PAGE),
        _Field("charts", "charts", one_of(CHARTS)),
        _Field("kind", "chart_kind", one_of([*ChartKind])),
        _Field("x", "chart_x", str),
        _Field("y", "chart_y", str),
        _Field("chart-colour", "chart_colour", str),
        _Field("show", "show", one_of(SHOW_MODES)),
        _Field("palette", "palette", one_of(PALETTES)),
        _switch("overlay", "overlay"),
        _Field("opacity", "opacity", whole_number(*OPACITY_RANGE)),
        _Field("size", "size", whole_number(*SIZE_RANGE)),
        _Field("image", "image", parse_image_id),
        _Field("runs", "runs", str, repeated=True),
        _switch("mask", "outline", "outline", "fill"),
        _switch("uncertainty", "uncertainty"),
        _switch("names", "names"),
        _Field("hide", "hidden", str, repeated=True),
        _Field("difference", "difference", one_of(DIFFERENCE_MODES)),
        _Field("from", "origin", one_of(ORIGINS)),
        _Field("against", "against", str),
        _Field("flip", "flip", parse_pair, format_pair),
        _Field("measure", "measure", one_of(tuple(COMPARE_SORTS))),
        _Field("compare-page", "compare_page", _PAGE),
        _Field("truth", "truth", parse_truth_id),
        _Field("cell", "cell", parse_pair, format_pair),
        _Field("worst", "grade", one_of(tuple(EVALUATE_SORTS))),
        _Field("layer", "layer", one_of(LAYERS)),
        _Field("evaluate-page", "evaluate_page", _PAGE),
        _Field("find", "find", one_of(FINDS)),
        _Field("embeddings", "embeddings", str),
        _Field("projection", "projection", one_of(PROJECTIONS)),
        _Field("colour", "colour", str),
        _Field("lasso", "lasso", parse_lasso),
        _Field("similar", "similar", parse_image_id, repeated=True),
        _Field("found-page", "found_page", _PAGE),
        _switch("demo", "demo"),
        _Field("try", "try_mode", one_of(TRY_MODES)),
        _Field("by", "by", str),
        _Field("n", "n", whole_number(1, 10**9)),
        _switch("figures", "all_figures", "all", "few"),
    )
}
_DEFAULTS = View()


def encode(view: View) -> Pairs:
    """Return the view as pairs: the filters first, then the fields that differ from their defaults."""
    changed = [f for f in _FIELDS.values() if getattr(view, f.name) != getattr(_DEFAULTS, f.name)]
    return view.filters.pairs() + [(f.key, text) for f in changed for text in f.to_texts(getattr(view, f.name))]


def decode(pairs: Iterable[tuple[str, str]]) -> tuple[View, list[str]]:
    """Parse pairs into a view, with one sentence for each key that was dropped."""
    texts: dict[str, list[str]] = {}
    for key, text in pairs:
        texts.setdefault(key, []).append(text)
    attributes: dict[str, Any] = {}
    filters, notes = Filters(), []
    for key, values in texts.items():
        try:
            if key in _FIELDS:
                attributes[_FIELDS[key].name] = _FIELDS[key].parse(values)
            else:
                filters = filters.replace(key, find_filter(key)[0].decode(values))
        except (SegError, ValueError) as error:
            notes.append(f"{shorten(key)}={shorten(values[-1])} was left out of the link: {str(error).rstrip('.')}.")
    return View(filters=filters, **attributes), notes


def url_key(name: str) -> str:
    """Return the URL's key of a field of the view: `compare_page` -> `compare-page`."""
    return next(entry.key for entry in _FIELDS.values() if entry.name == name)


def query_params(view: View) -> dict[str, list[str]]:
    """Return the pairs in Streamlit's format: repeated keys as lists."""
    params: dict[str, list[str]] = {}
    for key, text in encode(view):
        params.setdefault(key, []).append(text)
    return params


URL_KEYS: tuple[str, ...] = tuple(_FIELDS)
"""The keys in the order in which `encode` writes them, after the filters."""


# --- what the store allows ---------------------------------------------------------------------------------------


def fit_to_classes(view: View, classes: Sequence[str]) -> tuple[View, list[str]]:
    """Drop the parts of the view that do not apply to a run with these classes, with a sentence for each."""
    notes = []
    if view.focus and view.focus not in classes:
        notes.append(f"This run's model knows no class {view.focus!r}.")
        view = replace(view, focus="")
    if view.sort.endswith(("share", "blobs")) and not classes:
        view = replace(view, sort=_DEFAULTS.sort)
    if view.flip and view.flip[0] not in classes:
        notes.append(f"This run's model knows no class {view.flip[0]!r}.")
        view = replace(view, flip=())
    if view.measure == "flip" and not view.flip:
        view = replace(view, measure=_DEFAULTS.measure)
    filters = view.filters
    for key, value in view.filters.items():
        possible = _applicable_value(key, value, classes)
        if possible != value:
            left_out = ", ".join(str(v) for v in value if v not in possible)
            notes.append(f"The filter {key}={left_out} was left out: this run knows no such value.")
            filters = filters.replace(key, possible or None)
    return replace(view, filters=filters), notes


def _applicable_value(key: str, value: FilterValue, classes: Sequence[str]) -> FilterValue:
    """Return the part of a filter's value that applies to a run with these classes."""
    entry, class_name = find_filter(key)
    if entry.suffix == "class":
        return value if class_name in classes else ()
    of_run = {"present": tuple(classes), "dominant": ("", *classes), "content": ("", *classes, NO_CONTENT)}
    allowed = of_run.get(key) or _VOCABULARY.get(key)
    if allowed is None or isinstance(value, str):
        return value
    return tuple(str(v) for v in value if v in allowed)


# --- in words ----------------------------------------------------------------------------------------------------


def describe_filter(key: str, value: FilterValue) -> str:
    """Return the text of a filter chip: `Folder: cats, dogs`, `Share of cat: 10 % to 100 %`."""
    entry, class_name = find_filter(key)
    if entry.suffix == "column":
        return describe_column_filter(class_name, value)
    label = f"{entry.label} {class_name}".strip()
    if isinstance(value, str):
        return f"{label}: {value}"
    if isinstance(entry, CountRangeFilter):
        return f"{label}: {_format_count_range(int(value[0]), int(value[1]))}"
    if isinstance(value[0], float):
        low, high = value
        write = percent if entry.suffix == "class" or key == "low_margin" else score
        return f"{label}: {write(float(low))} to {write(float(high))}"
    names = ", ".join(choice_name(key, str(v)) for v in value)
    return f"{label} {names}" if label.endswith("?") else f"{label}: {names}"


def _format_count_range(low: int, high: int) -> str:
    if low == high:
        return count(low)
    if high == MAX_COUNT:
        return f"{count(low)} or more"
    return f"{count(low)} to {count(high)}"


def sort_label(sort: str, focus: str) -> str:
    return SORTS.get(sort, sort).replace("the chosen class", focus or "the chosen class")


assert not set(_FIELDS) & set(FILTERS), "a key of the URL is either a filter or a part of the view"
assert {f.name for f in _FIELDS.values()} | {"filters"} == {f.name for f in fields(View)}
