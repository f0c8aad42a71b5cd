"""compare, evaluate and import-masks on the command line, and that one object says it all."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from seglib.cli import main
from seglib.models import registry
from seglib.store.store import Store
from tests.conftest import SAMPLE
from tests.seglib.cli.test_main import call, sentence


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A store with two runs over the sample; `truth` holds the masks of the first, `classes.txt` their names."""
    place = tmp_path_factory.mktemp("compare")
    store = str(place / "store")
    run = ["run", str(SAMPLE), "--store", store, "--workers", "0", "--precision", "fp32"]
    assert main.main([*run, "--resize", "64"]) == 0
    assert main.main([*run, "--resize", "96x64"]) == 0
    names = [run.run for run in Store(store).runs()]
    (place / "classes.txt").write_text("\n".join(Store(store).run(names[0]).classes))
    sizes = Store(store).table([names[0]]).set_index("path")[["width", "height"]]
    assert main.main(["export", "masks", "--store", store, "--run", names[0], "--out", str(place / "out")]) == 0
    for path, size in sizes.iterrows():
        mask = Image.open(place / "out" / names[0] / "sample" / f"{path}.png")
        file = (place / "truth" / path).with_suffix(".png")
        file.parent.mkdir(parents=True, exist_ok=True)
        mask.resize(tuple(size), Image.Resampling.NEAREST).save(file)
    return place, names


@pytest.mark.slow
def test_compare_prints_one_object_with_the_agreed_fields(place, capsys, tmp_path):
    folder, names = place
    arguments = ("compare", "--runs", *names, "--store", folder / "store")
    tables = ("--out", tmp_path / "p.csv", "--images", tmp_path / "i.parquet", "--flips", tmp_path / "f.csv")
    code, out, err = call(capsys, *arguments, "--json", *tables)
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["runs"], found["images"], found["failed"]) == (names, 13, 0)
    (pair,) = found["pairs"]
    assert (pair["a"], pair["b"]) == tuple(names)
    for name in ("pixel_agreement", "foreground_agreement", "iou:cat", "area_difference:dog"):
        assert -1 <= pair[name] <= 1
        low, high = pair[f"{name}_interval"]
        assert low <= pair[name] <= high
        assert pair[f"{name}_mean_interval"][0] <= pair[f"{name}_mean"] <= pair[f"{name}_mean_interval"][1]
    assert pair["pixel_agreement_n"] == 13
    assert pair["iou:aeroplane"] is None or 0 <= pair["iou:aeroplane"] <= 1
    assert found["consensus"] == pair["pixel_agreement"]
    assert np.sum(pair["flips"]["pixels"]) == 13 * 96 * 64
    assert [one["run"] for one in found["costs"]] == names
    assert pd.read_csv(tmp_path / "p.csv")["pixel_agreement"].tolist() == pytest.approx([pair["pixel_agreement"]])
    images = pd.read_parquet(tmp_path / "i.parquet")
    assert images["pixel_agreement"].is_monotonic_increasing
    assert images["pixel_agreement"].mean() == pytest.approx(pair["pixel_agreement_mean"])
    assert pd.read_csv(tmp_path / "f.csv")["pixels"].sum() == 13 * 96 * 64
    again = json.loads(call(capsys, *arguments, "--json")[1])
    assert (again["computed"], again["pairs"]) == (0, found["pairs"])
    cats = json.loads(call(capsys, *arguments, "--json", "--where", "label=cats")[1])
    assert cats["images"] == 7


@pytest.mark.slow
def test_compare_for_people_names_runs_figures_and_cost(place, capsys):
    folder, names = place
    code, out, _ = call(capsys, "compare", "--runs", *reversed(names), "--store", folder / "store")
    assert code == 0
    spec = registry.MODELS[registry.DEFAULT_MODEL]
    cost = (f"{spec.parameters:,}", f"{spec.path.stat().st_size / 1e6:.1f} MB")
    for word in (*names, "pixel_agreement", "iou:cat", "all runs agree on", *cost):
        assert word in out


@pytest.mark.slow
def test_evaluate_prints_one_object_and_a_runs_own_masks_are_right(place, capsys, tmp_path):
    folder, names = place
    arguments = ("evaluate", "--truth", folder / "truth", "--store", folder / "store", "--format", "voc")
    tables = ("--out", tmp_path / "e.csv", "--images", tmp_path / "i.csv", "--confusion", tmp_path / "c.parquet")
    grid = ("--samples", 2, "--seed", 3, "--grid", tmp_path / "g.png")
    code, out, err = call(capsys, *arguments, "--json", *tables, *grid)
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["runs"], found["images"], found["truth"], found["format"]) == (names, 13, "truth", "voc")
    own, other = found["pairs"]
    assert (own["a"], own["b"], other["b"]) == ("truth", *names)
    assert own["pixel_accuracy"] == own["miou"] == own["miou_mean"] == own["iou:cat"] == 1
    assert own["boundary_f"] == 1
    assert own["ece"] is None
    assert 0 < other["miou"] < 1
    assert own["iou:aeroplane"] is None
    assert set(own["labels"]) == {"cats", "dogs", "others"}
    gain = next(one for one in found["differences"] if one["measure"] == "pixel_accuracy")
    assert gain["value"] == pytest.approx(other["pixel_accuracy"] - 1)
    assert sum(bin_["n"] for bin_ in own["reliability"]["images"]) == 13
    assert len(pd.read_csv(tmp_path / "e.csv")) == 2 * 4
    images = pd.read_csv(tmp_path / "i.csv")
    assert images[images["run"] == names[1]]["miou"].mean() == pytest.approx(other["miou_mean"])
    assert set(pd.read_parquet(tmp_path / "c.parquet")["run"]) == set(names)
    with Image.open(tmp_path / "g.png") as sheet:
        assert sheet.width > 4 * 320
    code, out, _ = call(capsys, *arguments, "--run", names[1])
    assert "worst: " in out
    assert names[0] not in out


@pytest.mark.slow
def test_slices_by_a_field_are_printed_and_written(place, capsys, tmp_path):
    folder, names = place
    store = ("--store", folder / "store")
    evaluate = ("evaluate", "--truth", folder / "truth", "--format", "voc", *store)
    file = tmp_path / "s.csv"
    found = json.loads(call(capsys, *evaluate, "--by", "label", "--slices", file, "--json")[1])
    assert [one["run"] for one in found["slices"]] == [names[0]] * 3 + [names[1]] * 3
    cats = next(one for one in found["slices"] if (one["run"], one["slice"]) == (names[1], "cats"))
    assert (cats["field"], cats["where"], cats["images"], cats["small"]) == ("label", "label=cats", 7, True)
    assert (cats["miou_interval"], cats["miou_random_interval"], cats["miou_beyond_chance"]) == (None, None, None)
    assert cats["miou"] == found["pairs"][1]["labels"]["cats"]["miou"]
    assert pd.read_csv(file)["miou"].tolist() == pytest.approx([one["miou"] for one in found["slices"]])
    compare = ("compare", "--runs", *names, *store, "--by", "confidence")
    found = json.loads(call(capsys, *compare, "--json")[1])
    assert sum(one["images"] for one in found["slices"]) == 13
    assert {(one["a"], one["b"]) for one in found["slices"]} == {tuple(names)}
    assert all(one["pixel_agreement"] <= 1 for one in found["slices"])
    out = call(capsys, *compare)[1]
    assert f"{names[0]} and {names[1]} by confidence, the lowest pixel_agreement first" in out
    assert "too few photos" in out
    assert "slices" not in json.loads(call(capsys, *compare[:-2], "--json")[1])
    assert "There is no field 'column.lens'" in sentence(capsys, 2, *evaluate, "--by", "column.lens")
    assert "name the field" in sentence(capsys, 2, *evaluate, "--slices", file)


def test_import_masks_makes_a_run_that_compares(place, capsys, tmp_path):
    folder, names = place
    masks = ("import-masks", folder / "truth", "--classes", folder / "classes.txt", "--store", folder / "store")
    code, out, err = call(capsys, *masks, "--name", "theirs", "--json")
    assert code == 0
    assert "13 masks read as class indices: background, bicycle, car, cat" in err
    about = json.loads(out)
    assert (about["images"], about["computed"], about["failed"]) == (13, 13, 0)
    call(capsys, *masks, "--name", "theirs")
    found = json.loads(
        call(capsys, "compare", "--runs", names[0], about["run"], "--store", folder / "store", "--json")[1]
    )
    assert found["pairs"][0]["pixel_agreement"] == 1
    assert found["costs"][1]["gflops"] is None


def test_bad_requests_are_one_sentence(place, capsys, tmp_path):
    folder, names = place
    store = ("--store", folder / "store")
    assert "two different runs" in sentence(capsys, 2, "compare", "--runs", names[0], names[0], *store)
    assert "known are" in sentence(capsys, 2, "compare", "--runs", names[0], "x", *store)
    assert "There is no" in sentence(capsys, 2, "evaluate", "--truth", tmp_path / "x", *store)
    trimap = ("--format", "trimap", "--classes", folder / "classes.txt")
    assert "leave out --classes" in sentence(capsys, 2, "evaluate", "--truth", folder / "truth", *trimap, *store)
    assert "Trimaps hold 1 for the pet" in sentence(
        capsys, 1, "evaluate", "--truth", folder / "truth", *trimap[:2], *store
    )
    (tmp_path / "m").mkdir()
    Image.new("L", (4, 4)).save(tmp_path / "m" / "nobody.png")
    said = sentence(capsys, 1, "evaluate", "--truth", tmp_path / "m", *store)
    assert "masks 'nobody.png'" in said
    (tmp_path / "m" / "nobody.png").rename(tmp_path / "m" / "tabby.png")
    said = sentence(capsys, 1, "evaluate", "--truth", tmp_path / "m", "--run", names[0], *store)
    assert "is 4 x 4 pixels and its photo" in said
    Image.new("L", (4, 4), 77).save(tmp_path / "m" / "tabby.png")
    masks = ("import-masks", tmp_path / "m", "--classes", folder / "classes.txt", "--name", "x", *store)
    assert "a value without a class, e.g. 77" in sentence(capsys, 1, *masks)
