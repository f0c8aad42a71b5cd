"""What is said of slices: every case by hand."""

import pytest

from dashboard.answers import slices as answers
from seglib.evaluation.slices.cut import NO_VALUE, Slice
from seglib.evaluation.slices.figures import SliceFigures, SliceTable
from seglib.metrics.bootstrap import Estimate
from seglib.metrics.slice_estimates import SliceEstimate
from seglib.query.fields import Field, Kind

CAMERA = Field("column.camera", "camera", Kind.CATEGORY)
FOLDER = Field("label", "Folder", Kind.CATEGORY)

Row = tuple[str, float | None, tuple[float, float] | None, int]


def table(*rows: Row, field: Field = CAMERA, left_out: int = 0) -> SliceTable:
    """(name, value in percent, range of random photos or None, photos) of each slice."""
    figures = []
    for name, value, ends, photos in rows:
        share = None if value is None else value / 100
        interval = None if share is None or photos < 10 else (share - 0.05, share + 0.06)
        figure = Estimate(value=share, interval=interval, mean=share, mean_interval=None, n=photos)
        random_range = None if ends is None else (ends[0] / 100, ends[1] / 100)
        one = SliceEstimate(figure=figure, others=0.6, random_range=random_range)
        cut = Slice(name, None, missing=name == NO_VALUE)
        figures.append(SliceFigures(slice=cut, images=photos, estimates={"miou": one}))
    photos = sum(row[3] for row in rows)
    overlaps = field.kind is Kind.TAGS
    return SliceTable(
        field=field, images=photos, overlaps=overlaps, left_out=left_out, measures=("miou",), rows=tuple(figures)
    )


CHANCE = (50, 70)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (
            [("Canon", 41, CHANCE, 50), ("Nikon", 60, CHANCE, 50), ("Sony", 75, CHANCE, 50)],
            "Worst for camera Canon: mIoU 41.0 % (36.0 to 47.0), as many random photos have 50.0 to 70.0 %; 2 of 3 "
            "slices differ beyond chance.",
        ),
        (
            [("Canon", 41, CHANCE, 50), ("Nikon", 60, CHANCE, 50)],
            "Worst for camera Canon: mIoU 41.0 % (36.0 to 47.0), as many random photos have 50.0 to 70.0 %; 1 of 2 "
            "slices differs beyond chance.",
        ),
        (
            [("Canon", 41, CHANCE, 50), ("Nikon", 41.01, CHANCE, 50), ("Sony", 60, CHANCE, 50)],
            "Worst for camera Canon and Nikon: mIoU 41.0 % in each; 2 of 3 slices differ beyond chance.",
        ),
        (
            [("Canon", 40, (30, 90), 12), ("Nikon", 45, CHANCE, 50), ("Sony", 60, CHANCE, 50)],
            "Worst for camera Nikon: mIoU 45.0 % (40.0 to 51.0), as many random photos have 50.0 to 70.0 %; camera "
            "Canon is lower (40.0 %), but not beyond chance; 1 of 3 slices differs beyond chance.",
        ),
        (
            [(NO_VALUE, 41, CHANCE, 50), ("Nikon", 60, CHANCE, 50)],
            "Worst for photos without a camera: mIoU 41.0 % (36.0 to 47.0), as many random photos have 50.0 to "
            "70.0 %; 1 of 2 slices differs beyond chance.",
        ),
        (
            [("Canon", 55, CHANCE, 50), ("Nikon", 75, CHANCE, 50)],
            "No slice by camera is worse beyond chance; best for camera Nikon: mIoU 75.0 % (70.0 to 81.0), as many "
            "random photos have 50.0 to 70.0 %.",
        ),
        (
            [("Canon", 55, CHANCE, 50), ("Nikon", 60, CHANCE, 50), ("Sony", 10, None, 3)],
            "No difference beyond chance between 2 slices by camera: mIoU from 55.0 % (Canon) to 60.0 % (Nikon). 1 "
            "slice of fewer than 10 photos is not judged.",
        ),
        (
            [("Canon", 100, (100, 100), 50), ("Nikon", 100, (100, 100), 50)],
            "No difference beyond chance between 2 slices by camera: mIoU 100.0 % in all of them.",
        ),
        (
            [("Canon", 50, None, 3), ("Nikon", 60, None, 2)],
            "None of 2 slices by camera has 10 photos: too few to compare.",
        ),
        (
            [("Canon", 50, None, 30), ("Nikon", 60, None, 2)],
            "Fewer than 10 photos lie outside of camera Canon: too few to compare it with.",
        ),
        (
            [("Canon", None, None, 30), ("Nikon", None, None, 20)],
            "These slices by camera have no pixel that can be compared.",
        ),
        (
            [("12 others", 55, CHANCE, 50), ("Canon", 10, None, 3), ("Sony", 10, None, 3)],
            "No difference beyond chance in the only slice by camera that can be judged, 12 others: mIoU 55.0 %. 2 "
            "slices of fewer than 10 photos are not judged.",
        ),
        ([("Canon", 50, None, 1)], "There is a single photo, so there are no slices by camera to compare."),
        ([("Canon", 50, None, 30)], "All 30 photos have the same camera, Canon: there is nothing to compare."),
        ([(NO_VALUE, 50, None, 30)], "None of 30 photos has a camera: there are no slices to compare."),
    ],
)
def test_every_case_is_a_sentence(rows, expected):
    assert answers.sentence(table(*rows), "mIoU").replace("\xa0", " ") == expected


def test_names_are_those_of_the_pages():
    agreement = Field("agreement", "Folder and content agree?", Kind.CATEGORY)
    assert answers.field_noun(agreement) == "folder and content"
    assert answers.slice_name(agreement, Slice("contradicts", None)) == "disagree"
    assert answers.field_noun(FOLDER) == "folder"
    assert answers.field_noun(Field("column.Ort", "Ort", Kind.TEXT)) == "Ort"
    assert answers.field_noun(Field("share.cat", "Share of cat", Kind.NUMBER)) == "share of cat"


def test_tags_overlap_and_rare_ones_are_left_out():
    tags = Field("tag", "Tag", Kind.TAGS)
    found = table(("blurred", 50, CHANCE, 30), ("dark", 60, CHANCE, 40), field=tags, left_out=2)
    assert answers.remarks(found) == ["A photo with several tags is in several slices.", "2 rarer tags are not shown."]
    assert answers.remarks(table(("a", 50, CHANCE, 30))) == []
