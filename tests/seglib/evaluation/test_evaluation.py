"""Runs against a truth: figures as an independent script's, at the truth's size, calibration, differences."""

from pathlib import PurePosixPath

import numpy as np
import pytest
from PIL import Image

import seglib
from seglib.classes import VOC_CLASSES
from seglib.data import resize
from seglib.data.image import decode
from seglib.errors import SegError
from seglib.evaluation import evaluation, evaluation_tables, truth_counting
from seglib.masks import boundary, png
from seglib.models.registry import MODELS
from seglib.pipeline import session
from seglib.pipeline.import_masks import import_masks
from seglib.query import export
from seglib.query.filters import Filters
from seglib.store.store import Store
from tests.annotated import open_drawn
from tests.seglib.evaluation import plain_evaluation
from tests.seglib.evaluation.conftest import CLASSES, OPTIONS, draw, evaluated, values


def test_rows_are_the_truth_and_columns_the_run(store, drawn):
    report, found = evaluated(store, drawn)
    assert report.computed == 3
    matrix = found.confusion()
    assert matrix.loc["cat", "dog"] == 48 * 48
    assert matrix.loc["dog"].sum() == 0
    assert matrix.loc["cat", "background"] == 32 * 24
    assert matrix.to_numpy().sum() == 2 * 64 * 48 + 128 * 96 - 4 * 48
    assert values(found)["iou:cat"] == (32 * 24 + 32 * 48) / (2 * 32 * 48 + 48 * 48)
    assert values(found)["iou:person"] is None
    assert values(found)["dice:dog"] == 0
    assert values(found)["ece"] is None
    frame = found.images()
    assert frame["path"].tolist() == ["dogs/c.png", "cats/a.png", "cats/b.png"]
    assert frame["miou"].tolist()[-1] == frame["boundary_f"].tolist()[-1] == 1
    assert dict(found.by_label())["dogs"].measures["iou:cat"].overall() == 0
    assert [label for label, _ in found.by_label()] == ["cats", "dogs"]


def test_filters_select_without_reading_masks(store, drawn, monkeypatch):
    report, whole = evaluated(store, drawn)
    monkeypatch.setattr(Store, "mask", lambda *_: pytest.fail("a mask was read"))
    (run,) = store.runs()
    from seglib.query.filters import select

    cats = select(store.table([run.run]), Filters.decode("label=cats"))
    found = evaluation.load_evaluation(store, report.truth, run.run, files=cats)
    assert values(found) == values(dict(whole.by_label())["cats"])
    nothing = evaluation.load_evaluation(store, report.truth, run.run, files=cats.iloc[:0])
    assert set(values(nothing).values()) == {None}
    assert nothing.images().empty


def test_masks_are_enlarged_to_the_truth_by_nearest_neighbour(store, drawn):
    _, found = evaluated(store, drawn)  # c's mask is 64x48 and its truth 128x96
    (run,) = store.runs()
    at = found.files["path"].tolist().index("dogs/c.png")
    mask = store.mask(run.run, found.files["image_id"].iloc[at])
    large = np.array(Image.fromarray(mask).resize((128, 96), Image.Resampling.NEAREST))
    one = found.select(np.arange(len(found.files)) == at)
    assert one.confusion().loc["cat", "dog"] == ((large == 2) & (truth_c(drawn) == 1)).sum()
    near = boundary.count_matches(truth_c(drawn), large)
    assert [int(column[0]) for column in one.boundaries["dog"]] == list(near[2])


def truth_c(folder) -> np.ndarray:
    return png.decode_index_png((folder / "dogs" / "c.png").read_bytes())


def test_differences_are_paired_over_the_same_photos(store, drawn, fake, tmp_path):
    from dataclasses import replace

    seglib.run(tmp_path / "photos", store, replace(fake, resize=resize.Resize("32")), options=OPTIONS)
    names = [run.run for run in store.runs()]
    assert truth_counting.find_runs(store, open_drawn(drawn, CLASSES)) == names
    report = truth_counting.update_counts(store, open_drawn(drawn, classes=CLASSES), names)
    found = [evaluation.load_evaluation(store, report.truth, name, files=report.files) for name in report.runs]
    gains = evaluation.differences(found)
    assert [gain.measure for gain in gains] == ["miou", "pixel_accuracy"]
    accuracy = [one.measures["pixel_accuracy"].overall() for one in found]
    assert gains[1].value == pytest.approx(accuracy[1] - accuracy[0])
    assert gains[1].interval[0] <= gains[1].value <= gains[1].interval[1]
    with pytest.raises(SegError, match="same photos"):
        evaluation.differences([found[0], found[1].select(np.array([True, False, False]))])
    table = evaluation_tables.summarize(found)
    assert table["label"].fillna("").tolist() == ["", "cats", "dogs"] * 2
    assert {"miou", "miou_mean", "miou_low", "iou:cat_mean_high", "iou:cat_n"} <= set(table)


def test_trimaps_are_cats_and_dogs_to_voc_nets_and_pets_to_own(tmp_path, paint, fake):
    store = Store.create(tmp_path / "store")
    for name in ("Abyssinian_1.png", "beagle_2.png"):
        paint(name, cat=(0, 0, ord(name[0]) - 40, 48))
        trimap = np.full((48, 64), 2, np.uint8)
        trimap[:, :20], trimap[:, 20:22] = 1, 3
        (tmp_path / "trimaps").mkdir(exist_ok=True)
        Image.fromarray(trimap).save(tmp_path / "trimaps" / name)
    seglib.run(tmp_path / "photos", store, fake, options=OPTIONS)
    folder = tmp_path / "masks"
    for name in ("Abyssinian_1.png", "beagle_2.png"):
        draw(folder, name, cat=(0, 0, 21, 48))
    own = import_masks(store, open_drawn(folder, ("background", "pet")), "own").run
    (nets,) = [run.run for run in store.runs() if run.run != own]
    report = truth_counting.update_counts(store, open_drawn(tmp_path / "trimaps"), [nets, own])
    assert report.truth.format == "trimap"
    voc, pets = (evaluation.load_evaluation(store, report.truth, name) for name in (nets, own))
    assert voc.confusion().loc["dog", "cat"] == 20 * 48  # the beagle is painted as a cat
    assert values(voc)["iou:dog"] == 0
    assert values(pets)["iou:pet"] == values(pets)["pixel_accuracy"] == 1
    assert pets.confusion().index.tolist() == ["background", "pet"]
    assert "sofa" in voc.notes[0]
    assert values(pets)["image_ece"] is None  # nobody knows how sure the imported masks' maker was
    with pytest.raises(SegError, match="were imported"):
        truth_counting.update_counts(store, open_drawn(tmp_path / "trimaps"), [own], calibration=True)


def test_what_the_run_cannot_name_is_left_out_with_a_sentence(store, drawn, tmp_path):
    for name in ("cats/a", "cats/b"):
        draw(tmp_path / "masks", f"{name}.png", person=(0, 0, 10, 10))
    run = import_masks(store, open_drawn(tmp_path / "masks", ("background", "x", "y", "person")), "other").run
    report = truth_counting.update_counts(store, open_drawn(drawn, classes=CLASSES), [run])
    found = evaluation.load_evaluation(store, report.truth, run)
    assert "has no class cat: such pixels of the truth (51.6 %) are left out" in found.notes[0]
    assert found.measures["pixel_accuracy"].columns[1].sum() == 2 * 32 * 48 - 4 * 48


def test_calibration_takes_the_confidence_of_each_pixel(store, drawn, fake, monkeypatch):
    from seglib.inference import config
    from seglib.pipeline import reproduce

    spec_and_settings = fake, config.InferenceConfig(resize=fake.resize)
    monkeypatch.setattr(reproduce, "resolve_run_model", lambda *_: spec_and_settings)
    report, found = evaluated(store, drawn, calibration=True)
    assert report.computed == 3
    pixels, confidence, right = found.bins
    assert pixels.sum() == 2 * 64 * 48 + 128 * 96 - 4 * 48
    assert right.sum() / pixels.sum() == pytest.approx(values(found)["pixel_accuracy"])
    curve = found.reliability()
    assert curve["n"].sum() == pixels.sum()
    plain = (curve["n"] * (curve["accuracy"] - curve["confidence"]).abs()).sum() / curve["n"].sum()
    assert values(found)["ece"] == pytest.approx(plain)
    at = found.files["path"].tolist().index("cats/a.png")
    assert confidence[at].sum() / pixels[at].sum() == pytest.approx(found.confidence[at], abs=1e-5)
    images = found.reliability("images")
    assert images["n"].sum() == 3
    assert evaluated(store, drawn, calibration=True)[0].computed == 0


def equal_to_plain(store, folder, run, kind, names, tmp_path, spec, settings, **options) -> None:
    """All figures that `tests/seglib/evaluation/plain_evaluation.py` makes of the exported masks."""
    from seglib.inference import predictor

    report = truth_counting.update_counts(store, open_drawn(folder, **options), [run], calibration=True)
    figures = evaluation.load_evaluation(store, report.truth, run, files=report.files).figures(resamples=0)
    kept = report.files["image_id"]
    table = store.table([run])
    assert len(kept) == len(table)
    export.write_folder(tmp_path / "masks", export.mask_files(store, [run], Filters()))
    (dataset,) = (tmp_path / "masks" / run).iterdir()
    confidences = tmp_path / "confidences"
    confidences.mkdir()
    root = store.datasets()[0].root
    for path in table["path"]:
        image, grid_wh = predictor.prepare_image(decode((root / path).read_bytes()), spec, settings)
        found = predictor.confidence_map(image, spec, settings, grid_wh)
        np.save(confidences / PurePosixPath(path).with_suffix(".npy").name, found)
    plain = plain_evaluation.figures(kind, dataset, folder, confidences, len(spec.classes))
    for suffix, reduced in (("", "value"), ("_mean", "mean")):
        ours = [getattr(figures[f"iou:{name}"], reduced) for name in names]
        ours = [np.nan if value is None else value for value in ours]
        np.testing.assert_allclose(ours, plain[f"iou{suffix}"], rtol=0, atol=1e-9)
        for name in ("miou", "miou_truth", "pixel_accuracy", "ece"):
            assert getattr(figures[name], reduced) == pytest.approx(plain[name + suffix], abs=1e-9), name + suffix


def test_figures_are_those_of_an_independent_script_on_painted_photos(store, drawn, fake, tmp_path, monkeypatch):
    from seglib.inference import config
    from seglib.pipeline import reproduce

    settings = config.InferenceConfig(resize=fake.resize)
    monkeypatch.setattr(reproduce, "resolve_run_model", lambda *_: (fake, settings))
    (run,) = store.runs()
    equal_to_plain(store, drawn, run.run, "voc", CLASSES, tmp_path, fake, settings, classes=CLASSES)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["voc", "trimap"])
def test_figures_are_those_of_an_independent_script(kind, tmp_path, shared):
    from seglib.pipeline import reproduce

    photos, folder = {
        "voc": ("voc-animals/JPEGImages", "voc-animals/SegmentationClass"),
        "trimap": ("oxford-pets/images", "oxford-pets/annotations/trimaps"),
    }[kind]
    store = Store.create(tmp_path / "store")
    if kind == "voc":
        every = (shared / "data/voc-animals/ImageSets/train.txt").read_text().split()
    else:
        every = sorted(p.name for p in (shared / "data" / photos).iterdir())
    options = session.RunOptions(workers=0, names=tuple(every[:: len(every) // 8]))
    spec = MODELS["fcn_mobilenet_v2"]
    run = seglib.run(shared / "data" / photos, store, spec, precision="fp32", options=options).run
    names = VOC_CLASSES if kind == "voc" else ("background", "cat", "dog")
    made = reproduce.resolve_run_model(store, store.run(run))
    equal_to_plain(store, shared / "data" / folder, run, kind, names, tmp_path, *made)
