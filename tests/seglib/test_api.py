"""The public functions: whatever form their arguments have, the same results as the commands, and plain refusals."""

import inspect
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import seglib
from seglib.cli import main
from seglib.errors import DatasetError, StoreError, UnknownName, UsageError, WeightsError
from seglib.masks import png
from seglib.models import registry
from tests.conftest import SAMPLE, fake_model

OPTIONS = seglib.RunOptions(workers=0)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """photos/ with three photos, store/ with two runs over them, and truth/ with their masks of the first run."""
    place = tmp_path_factory.mktemp("api")
    colours = {"cats/a.png": (255, 0, 0), "cats/b.png": (0, 0, 0), "dogs/c.png": (0, 255, 0)}
    for name, colour in colours.items():
        image = Image.new("RGB", (64, 48))
        image.paste(colour, (8, 8, 40, 40))
        (place / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        image.save(place / "photos" / name)
    fake = fake_model(place / "fake.safetensors")
    for resize in ("64x48", "32"):
        seglib.run(place / "photos", place / "store", fake, resize=resize, precision="fp32", options=OPTIONS)
    store, run = seglib.open(place / "store"), seglib.open(place / "store").runs()[0]
    for row in store.table([run.run]).itertuples():
        file = place / "truth" / row.path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png.encode_index_png(store.mask(run.run, row.image_id)))
    (place / "classes.txt").write_text("\n".join(run.classes))
    return place


@pytest.fixture
def fake(place):
    return fake_model(place / "fake.safetensors")


@pytest.fixture
def runs(place) -> list[str]:
    return [run.run for run in seglib.open(place / "store").runs()]


def forms(path: Path) -> list:
    """The same store in each form that a function accepts."""
    return [str(path), path, seglib.Store(path)]


def command(capsys, *arguments) -> dict:
    assert main.main([str(one) for one in arguments]) == 0
    return json.loads(capsys.readouterr().out)


FUNCTIONS = [name for name in seglib.__all__ if inspect.isfunction(getattr(seglib, name))]


def test_the_public_names_are_these():
    assert set(FUNCTIONS) == {
        *("open", "run", "predict", "compare", "evaluate", "train", "find_model", "load_model", "select"),
        *("class_distribution", "co_occurrence", "folder_vs_animal", "folder_vs_content", "add_columns"),
    }
    assert set(seglib.__all__) - set(FUNCTIONS) == {
        *("Store", "RunOptions", "RunReport", "Comparison", "Evaluation", "MODELS", "ModelSpec", "Resize", "Filters"),
        *("TrainConfig", "TrainReport", "SegError", "ColumnsReport", "ProgressBar"),
    }


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_public_function_says_what_it_takes_gives_and_refuses(name):
    function = getattr(seglib, name)
    documentation = inspect.getdoc(function)
    sections = re.findall(r"^(\w+):$", documentation, re.M)
    assert sections == ["Args", "Returns", "Raises", "Example"]
    described = re.findall(r"^    (\w+): ", documentation.split("Returns:")[0], re.M)
    assert described == list(inspect.signature(function).parameters)


# --- open and run ---


def test_a_store_is_opened_by_text_or_path(place):
    assert seglib.open(str(place / "store")).version() == seglib.open(place / "store").version()
    with pytest.raises(StoreError, match="run a model over a folder of photos first"):
        seglib.open(place / "photos")


def test_a_run_takes_texts_paths_or_objects_and_makes_the_store(place, fake, tmp_path):
    first = seglib.run(
        str(place / "photos"), str(tmp_path / "new"), fake, resize="32", precision="fp32", options=OPTIONS
    )
    assert (first.images, first.computed) == (3, 3)
    store = seglib.open(tmp_path / "new")
    again = seglib.run(place / "photos", store, fake, resize=seglib.Resize("32"), precision="fp32", options=OPTIONS)
    assert (again.run, again.computed, again.reused) == (first.run, 0, 3)
    assert [run.run for run in store.runs()] == [first.run]


def test_a_model_is_named_by_its_name_its_file_or_its_spec(place, tmp_path):
    spec = registry.MODELS["fcn_mobilenet_v2"]
    names = {
        seglib.run(place / "photos", tmp_path / "out", model, resize="32", precision="fp32", options=OPTIONS).run
        for model in ("fcn_mobilenet_v2", spec)
    }
    assert len(names) == 1
    from_file = {seglib.find_model(form) for form in (str(spec.path), spec.path)}
    assert {(one.name, one.path, one.classes) for one in from_file} == {(spec.name, spec.path, spec.classes)}


def test_a_loaded_module_needs_the_names_of_its_classes_and_is_another_model_once_it_is_trained(place, tmp_path):
    module = seglib.load_model("fcn_mobilenet_v2")
    with pytest.raises(UsageError, match="Name the classes of Segmenter in index order"):
        seglib.run(place / "photos", tmp_path / "s", module)
    assert not (tmp_path / "s").exists()

    def run() -> seglib.RunReport:
        classes = seglib.MODELS["fcn_mobilenet_v2"].classes
        return seglib.run(
            place / "photos", tmp_path / "s", module, classes=classes, resize="32", precision="fp32", options=OPTIONS
        )

    first, again = run(), run()
    assert (first.computed, again.run, again.computed) == (3, first.run, 0)
    module.get_parameter("classifier.classify.bias").data[0] += 1
    assert run().computed == 3


def test_a_run_refuses_what_is_not_there_and_makes_no_store_for_it(place, fake, tmp_path):
    for arguments, error, words in (
        ((tmp_path / "nowhere", tmp_path / "s", fake), DatasetError, "name the folder that holds the photos"),
        (
            (place / "photos", tmp_path / "s", "fcn_resnet51"),
            UnknownName,
            "There is no model 'fcn_resnet51'; known are",
        ),
        ((place / "photos", tmp_path / "s", "gone.safetensors"), WeightsError, "There is no weights file"),
    ):
        with pytest.raises(error, match=words):
            seglib.run(*arguments)
    with pytest.raises(UsageError, match="A resize is 224"):
        seglib.run(place / "photos", tmp_path / "s", fake, resize="big")
    assert not (tmp_path / "s").exists()


# --- compare ---


def test_runs_are_compared_whatever_names_the_store_and_as_the_command_does(place, runs, capsys):
    (said,) = command(capsys, "compare", "--runs", *runs, "--store", place / "store", "--json")["pairs"]
    for store in forms(place / "store"):
        found = seglib.compare(store, runs)
        assert isinstance(found, seglib.Comparison)
        pairs = found.pairs().iloc[0]
        assert (pairs["a"], pairs["b"], pairs["images"]) == (*runs, 3)
        for name in ("pixel_agreement", "foreground_agreement", "iou:cat", "area_difference:dog"):
            assert pairs[name] == pytest.approx(said[name])
    cats = seglib.compare(place / "store", runs, filters=seglib.Filters.decode("label=cats"))
    assert cats.files["path"].tolist() == ["cats/a.png", "cats/b.png"]


def test_all_runs_over_the_same_photos_are_compared_unless_some_are_named(place, runs, fake, tmp_path):
    image = Image.new("RGB", (64, 48), "blue")
    (tmp_path / "others").mkdir()
    image.save(tmp_path / "others" / "d.png")
    store = seglib.Store.create(tmp_path / "store")
    for folder, resize in (("photos", "64x48"), ("others", "48"), ("photos", "32")):
        base = place if folder == "photos" else tmp_path
        seglib.run(base / folder, store, fake, resize=resize, precision="fp32", options=OPTIONS)
    assert [run.run for run in seglib.compare(store).runs] == runs


def test_a_comparison_counts_only_what_is_missing(place, runs, tmp_path):
    seen = []
    seglib.compare(place / "store", runs)
    seglib.compare(place / "store", runs, on_progress=lambda progress: seen.append((progress.done, progress.total)))
    assert seen == [(3, 3)]


def test_a_comparison_refuses_one_run_and_unknown_ones(place, runs, tmp_path):
    for names in (runs[:1], []):
        with pytest.raises(UsageError, match="needs two different runs"):
            seglib.compare(place / "store", names)
    with pytest.raises(UnknownName, match="There is no run 'gone'"):
        seglib.compare(place / "store", [runs[0], "gone"])
    with pytest.raises(UsageError, match="needs two different runs"):
        seglib.compare(seglib.Store.create(tmp_path / "empty"))
    with pytest.raises(StoreError, match="There is no store"):
        seglib.compare(tmp_path / "nowhere")


# --- evaluate ---


def test_runs_are_evaluated_whatever_names_the_store_and_as_the_command_does(place, runs, capsys):
    arguments = ("--truth", place / "truth", "--classes", place / "classes.txt", "--store", place / "store", "--json")
    said = {pair["b"]: pair for pair in command(capsys, "evaluate", *arguments)["pairs"]}
    classes = (place / "classes.txt").read_text().split("\n")
    for store, masks in zip(forms(place / "store"), (str(place / "truth"), *[place / "truth"] * 2), strict=True):
        found = seglib.evaluate(store, masks, classes=classes)
        assert [one.run.run for one in found] == runs
        for one in found:
            assert isinstance(one, seglib.Evaluation)
            for name, figure in one.figures().items():
                assert figure.value == (
                    None if said[one.run.run][name] is None else pytest.approx(said[one.run.run][name])
                )
    assert found[0].figures()["miou"].value == 1, "the masks are those of the first run"
    (one,) = seglib.evaluate(place / "store", place / "truth", runs[1:], classes=classes, names=["c"])
    assert (one.run.run, one.files["path"].tolist()) == (runs[1], ["dogs/c.png"])


def test_an_evaluation_refuses_what_does_not_fit(place, runs, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "z.png").write_bytes(png.encode_index_png(np.zeros((4, 4), np.uint8)))
    trimap = np.array([[1, 1], [2, 3]], np.uint8)
    (tmp_path / "trimaps").mkdir()
    (tmp_path / "trimaps" / "c.png").write_bytes(png.encode_index_png(trimap))
    for masks, options, error, words in (
        (tmp_path / "nowhere", {}, UsageError, "name the folder that holds the masks"),
        (tmp_path / "other", {}, DatasetError, "None of the 3 photos has a mask"),
        (tmp_path / "other", {"runs": runs}, DatasetError, "None of the 3 photos has a mask"),
        (place / "truth", {"runs": ["gone"], "format": "voc"}, UnknownName, "There is no run 'gone'"),
        (place / "truth", {"format": "png"}, UnknownName, "There is no mask format 'png'; known are: auto, index, voc"),
        (place / "truth", {"format": "trimap", "classes": ["a"]}, UsageError, "leave out `classes`"),
        (tmp_path / "trimaps", {"classes": ["a"]}, DatasetError, "a value without a class"),
        (place / "truth", {"dataset": "gone", "format": "voc"}, UnknownName, "There is no dataset 'gone'"),
    ):
        with pytest.raises(error, match=words):
            seglib.evaluate(place / "store", masks, **options)
    with pytest.raises(StoreError, match="There is no store"):
        seglib.evaluate(tmp_path / "nowhere", place / "truth")


# --- predict ---


def test_images_are_predicted_from_a_file_a_folder_or_several(place, fake):
    photo = place / "photos" / "cats" / "a.png"
    for inputs in (str(photo), photo, [str(photo)]):
        (one,) = seglib.predict(inputs, fake, precision="fp32")
        assert (one.name, one.image.size, one.classes) == ("a", (64, 48), fake.classes)
        assert (one.mask.dtype, one.mask.shape) == (np.uint8, (48, 64))
        assert one.mask[8:40, 8:40].min() == one.mask.max() == fake.classes.index("cat")
        assert (one.mask != 0).sum() == 32 * 32
    found = list(seglib.predict([place / "photos", str(photo)], fake, precision="fp32", resize="32"))
    assert [one.name for one in found] == ["cats_a", "cats_b", "dogs_c", "a"]
    assert all(one.mask.shape == (48, 64) for one in found), "masks have their image's size"
    drawn = [one.name for one in seglib.predict(place / "photos", fake, precision="fp32", samples=2, seed=3)]
    assert drawn == [one.name for one in seglib.predict(place / "photos", fake, precision="fp32", samples=2, seed=3)]
    assert len(drawn) == 2


def test_a_prediction_is_that_of_the_command_and_of_a_run(place, fake, tmp_path, capsys):
    photo = SAMPLE / "cats" / "chelsea.png"
    said = command(capsys, "predict", photo, "--resize", "64", "--precision", "fp32", "--out", tmp_path, "--json")
    (one,) = seglib.predict(photo, "fcn_mobilenet_v2", resize="64", precision="fp32")
    assert (one.name, one.measures.confidence) == (said["name"], said["confidence"])
    assert (np.asarray(Image.open(tmp_path / "chelsea_mask.png")) == one.mask).all()
    store = seglib.open(place / "store")
    row = store.table([store.runs()[0].run]).iloc[2]
    (one,) = seglib.predict(place / "photos" / row["path"], fake, precision="fp32")
    assert (store.mask(row["run"], row["image_id"]) == one.mask).all()
    assert one.measures.confidence == pytest.approx(row["confidence"])


def test_an_image_that_cannot_be_read_stops_the_others_unless_failures_are_taken(place, fake, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    inputs = [tmp_path / "bad.jpg", place / "photos" / "cats" / "a.png"]
    with pytest.raises(DatasetError, match=r"^bad cannot be read \(not_an_image\): The content is none of"):
        list(seglib.predict(inputs, fake, precision="fp32"))
    failures = []
    (one,) = seglib.predict(inputs, fake, precision="fp32", on_failure=failures.append)
    assert (one.name, [failure.name for failure in failures]) == ("a", ["bad"])


def test_a_prediction_refuses_at_once_and_not_when_it_is_read(place, fake, tmp_path):
    photos = place / "photos"
    for arguments, options, error, words in (
        ((tmp_path / "nowhere", fake), {}, DatasetError, "neither a photo nor a folder of photos"),
        ((photos, "fcn_resnet51"), {}, UnknownName, "There is no model 'fcn_resnet51'; known are"),
        ((photos, tmp_path / "gone.safetensors"), {}, WeightsError, "There is no weights file"),
        ((photos, fake), {"resize": "big"}, UsageError, "A resize is 224"),
        ((photos, fake), {"precision": "fp8"}, UsageError, "A precision is one of"),
        ((photos, fake), {"precision": "fp32", "device": "tpu"}, UsageError, "A device is one of"),
    ):
        with pytest.raises(error, match=words):
            seglib.predict(*arguments, **options)


# --- in a notebook ---


def test_a_run_gives_its_table_and_its_photos_under_their_masks(place, fake):
    run = seglib.run(place / "photos", place / "store", fake, resize="32", precision="fp32", options=OPTIONS)
    assert run.table()["path"].tolist() == ["cats/a.png", "cats/b.png", "dogs/c.png"]
    assert run.table("label = cats")["path"].tolist() == ["cats/a.png", "cats/b.png"]
    cats = run.gallery("label=cats", limit=1)
    assert (len(cats), [path for path, _ in cats.images()]) == (2, ["cats/a.png"])
    shown = cats._repr_html_()
    assert shown.count("<img ") == 1
    assert "2 photos" in shown
    assert "and 1 more" in shown
    assert run.run in run._repr_html_()
    with pytest.raises(seglib.SegError, match="no model of this table knows a class 'unicorn'"):
        run.gallery("share.unicorn > 10%")


def test_a_gallery_leaves_out_pictures_that_are_gone_and_escapes_names(place, fake, tmp_path):
    (tmp_path / "photos").mkdir()
    for number, name in enumerate(("<b>.png", "c.png")):
        Image.new("RGB", (64, 48), (0, 0, 9 * number)).save(tmp_path / "photos" / name)
    run = seglib.run(tmp_path / "photos", tmp_path / "store", fake, resize="32", precision="fp32", options=OPTIONS)
    gone = run.table()["image_id"].iloc[1]
    run.store.mask_path(run.run, gone).unlink()
    assert [path for path, _ in run.gallery().images()] == ["<b>.png"]
    shown = run.gallery()._repr_html_()
    assert "&lt;b&gt;.png" in shown
    assert "<b>.png" not in shown


def test_runs_are_compared_and_evaluated_as_they_were_returned(place, fake, runs, tmp_path):
    a, b = (
        seglib.run(place / "photos", place / "store", fake, resize=size, precision="fp32", options=OPTIONS)
        for size in ("64x48", "32")
    )
    expected = seglib.compare(place / "store", [a.run, b.run])
    for found in (seglib.compare(a, b), seglib.compare(place / "store", [a, b]), seglib.compare(a, [b.run])):
        assert found.pairs().equals(expected.pairs())
    (one,) = seglib.evaluate(a, truth=place / "truth", classes=place / "classes.txt")
    assert (one.run.run, one.figures()["miou"].value) == (a.run, 1.0)
    assert "100.00 %" in one._repr_html_()
    assert f"{a.run}, {b.run}" in expected._repr_html_()
    other = seglib.run(place / "photos", tmp_path / "other", fake, resize="32", precision="fp32", options=OPTIONS)
    with pytest.raises(UsageError, match="are in different stores"):
        seglib.compare(a, other)


def test_areas_are_the_table_in_long_form(place, runs):
    store = seglib.open(place / "store")
    table, areas = store.table([runs[0]]), store.areas([runs[0]])
    assert list(areas.columns) == ["dataset", "path", "label", "run", "class", "share"]
    assert len(areas) == 3 * len(store.run(runs[0]).classes)
    for row in table.itertuples():
        of_photo = areas[areas["path"] == row.path].set_index("class")["share"]
        assert of_photo.sum() == pytest.approx(1)
        pixels = table.loc[row.Index, "px:cat"]
        assert of_photo["cat"] == pixels / (row.grid_width * row.grid_height)
    assert len(store.areas()) == 2 * len(areas)


def test_a_comparison_takes_its_filter_as_text(runs, place):
    found = seglib.compare(place / "store", runs, filters="label = cats")
    assert found.files["path"].tolist() == ["cats/a.png", "cats/b.png"]
