"""The sheet of photos with their truth and what the runs saw."""

from PIL import Image

from seglib.evaluation import sample_sheet
from seglib.masks import overlay
from tests.seglib.evaluation.conftest import evaluated


def test_the_sheet_shows_photo_truth_and_run(store, drawn):
    _, found = evaluated(store, drawn)
    sheet = sample_sheet.draw_sheet(store, [found], count=2, seed=1)
    assert (
        sheet.size
        == overlay.draw_contact_sheet([(Image.new("RGB", (1, 1)), "")] * 6, [("cat", (0, 0, 0))], per_row=3).size
    )
    assert sheet == sample_sheet.draw_sheet(store, [found], count=2, seed=1)
    assert any(sheet != sample_sheet.draw_sheet(store, [found], count=2, seed=seed) for seed in range(2, 8))
    assert (255, 0, 0) in {colour for _, colour in sheet.getcolors(1 << 20)}  # a photo's cat
    assert sample_sheet.draw_sheet(store, [found], count=99, seed=1).height > sheet.height
