"""Answer about slices: which one is worst, said only where it lies outside of what chance gives.

`sentence` puts a `SliceTable` into words; `slice_name` is what a slice is called on pages and in reports.
"""

from collections.abc import Sequence

from dashboard.answers.words import join_names, percent_ends
from dashboard.formatting import choice_name, count, percent_fixed, photo_count, pluralize
from seglib.evaluation.slices.cut import Slice
from seglib.evaluation.slices.figures import SliceFigures, SliceTable
from seglib.metrics.slice_estimates import MIN_IMAGES
from seglib.query.fields import Field

METHOD = (
    "Random: the middle of what as many photos drawn at random have, so wide that all slices together would lie in it "
    "with 95 % probability (permutation test; Westfall and Young 1993). Slices are compared with random ones of their "
    "size, since few photos contain fewer of the rare classes."
)


def field_noun(field: Field) -> str:
    """Return what a field is called within a sentence: `folder`, `share of cat`, an own column as it is."""
    if field.name.startswith("column."):
        return field.label
    return field.label[:1].lower() + field.label[1:].removesuffix("?").removesuffix(" agree")


def slice_name(field: Field, one: Slice) -> str:
    return one.name if one.missing else choice_name(field.name, one.name)


def sentence(table: SliceTable, measure: str, *, worst: str = "Worst") -> str:
    """Return the answer. `measure`: what the first measure is called; `worst`: what its lowest value is."""
    noun = field_noun(table.field)
    if len(table.rows) < 2:
        return _single(table, noun)
    judged = [row for row in table.rows if row.estimates[table.measures[0]].random_range is not None]
    if not judged:
        return _too_few(table, noun)
    text = _judge(table, judged, measure, worst)
    small = sum(row.is_small for row in table.rows)
    if small:
        text += f" {pluralize(small, 'slice')} of fewer than {MIN_IMAGES} photos {_are(small)} not judged."
    return text


def remarks(table: SliceTable) -> list[str]:
    """Return what a reader has to know of how the photos were cut."""
    texts = ["A photo with several tags is in several slices."] if table.overlaps else []
    if left_out := table.left_out:
        texts.append(f"{pluralize(left_out, 'rarer tag')} {_are(left_out)} not shown.")
    return texts


def _single(table: SliceTable, noun: str) -> str:
    photos = photo_count(table.images)
    if table.images == 1:
        return f"There is a single photo, so there are no slices by {noun} to compare."
    if not table.rows:
        return f"None of {photos} has a {noun}: there are no slices to compare."
    (row,) = table.rows
    if row.slice.missing:
        return f"None of {photos} has a {noun}: there are no slices to compare."
    return f"All {photos} have the same {noun}, {slice_name(table.field, row.slice)}: there is nothing to compare."


def _too_few(table: SliceTable, noun: str) -> str:
    large = [row for row in table.rows if not row.is_small]
    if not large:
        return f"None of {pluralize(len(table.rows), 'slice')} by {noun} has {MIN_IMAGES} photos: too few to compare."
    if any(row.estimates[table.measures[0]].figure.value is None for row in large):
        return f"These slices by {noun} have no pixel that can be compared."
    return f"Fewer than {MIN_IMAGES} photos lie outside of {_phrase(table, large[:1])}: too few to compare it with."


def _judge(table: SliceTable, judged: Sequence[SliceFigures], measure: str, worst: str) -> str:
    main = table.measures[0]
    below = [row for row in judged if row.estimates[main].is_below]
    above = [row for row in judged if row.estimates[main].is_above]
    noun, slices = field_noun(table.field), pluralize(len(judged), "slice")
    if not below and not above:
        low, high = (percent_fixed(row.estimates[main].figure.value) for row in (judged[0], judged[-1]))
        if len(judged) == 1:
            name = slice_name(table.field, judged[0].slice)
            return (
                f"No difference beyond chance in the only slice by {noun} that can be judged, {name}: {measure} {low}."
            )
        if low == high:
            return f"No difference beyond chance between {slices} by {noun}: {measure} {low} in all of them."
        first, last = (slice_name(table.field, row.slice) for row in (judged[0], judged[-1]))
        span = f"{measure} from {low} ({first}) to {high} ({last})"
        return f"No difference beyond chance between {slices} by {noun}: {span}."
    if not below:
        best = _value(table, above[-1], measure)
        return f"No slice by {noun} is worse beyond chance; best for {_phrase(table, above[-1:])}: {best}."
    alike = [row for row in below if _percent(table, row) == _percent(table, below[0])]
    text = f"{worst} for {_phrase(table, alike)}: {_value(table, below[0], measure, alike=len(alike))}"
    if judged[0] not in below:
        text += f"; {_phrase(table, judged[:1])} is lower ({_percent(table, judged[0])}), but not beyond chance"
    differing = len(below) + len(above)
    return f"{text}; {count(differing)} of {slices} {'differs' if differing == 1 else 'differ'} beyond chance."


def _percent(table: SliceTable, row: SliceFigures) -> str:
    return percent_fixed(row.estimates[table.measures[0]].figure.value)


def _value(table: SliceTable, row: SliceFigures, measure: str, *, alike: int = 1) -> str:
    one = row.estimates[table.measures[0]]
    if alike > 1:
        return f"{measure} {percent_fixed(one.figure.value)} in each"
    ends = f" ({percent_ends(one.figure.interval)})" if one.figure.interval else ""
    text = f"{measure} {percent_fixed(one.figure.value)}{ends}"
    return f"{text}, as many random photos have {percent_ends(one.random_range)} %" if one.random_range else text


def _phrase(table: SliceTable, rows: Sequence[SliceFigures]) -> str:
    noun = field_noun(table.field)
    if rows[0].slice.missing and len(rows) == 1:
        return f"photos without a {noun}"
    return f"{noun} {join_names([slice_name(table.field, row.slice) for row in rows]).replace(' runs', ' slices')}"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
