"""`seglib mistakes`: what it prints, writes and refuses."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from seglib.classes import VOC_CLASSES
from seglib.cli import main
from seglib.masks import png
from seglib.store.store import Store
from tests.conftest import SAMPLE
from tests.seglib.cli.test_main import call, sentence


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A store with one run over the sample; `truth` holds its masks, of which that of one photo is damaged."""
    place = tmp_path_factory.mktemp("mistakes")
    run = ["run", str(SAMPLE), "--store", str(place / "store"), "--workers", "0", "--precision", "fp32"]
    assert main.main([*run, "--resize", "96x64", "--limit", "5"]) == 0
    store = Store(place / "store")
    table = store.table()
    for row in table.itertuples():
        mask = png.resize_mask(store.mask(row.run, row.image_id), (row.width, row.height))
        if row.Index == 0:
            mask = np.where(mask == 0, np.uint8(VOC_CLASSES.index("bus")), mask)
        file = (place / "truth" / row.path).with_suffix(".png")
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(file)
    return place, store.runs()[0].run, table["path"].tolist()


@pytest.mark.slow
def test_a_damaged_mask_comes_first_with_a_reason_and_leaves_as_a_work_list(place, capsys, tmp_path):
    folder, run, paths = place
    arguments = ("mistakes", "--truth", folder / "truth", "--format", "voc", "--store", folder / "store")
    code, out, err = call(capsys, *arguments, "--json", "--top", "2", "--out", tmp_path / "list.csv")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["run"], found["computed"], found["failed"], len(found["photos"])) == (run, 5, 0, 2)
    first = found["photos"][0]
    assert (first["path"], first["class"], first["rank"]) == (paths[0], "bus", 1)
    assert first["reason"].startswith("labelled bus, the model sees background: ")
    assert "full path" not in first
    listed = pd.read_csv(tmp_path / "list.csv")
    assert listed["rank"].tolist() == [1, 2, 3, 4, 5]
    assert listed["full path"][0] == str(SAMPLE / paths[0])
    assert {"path", "score", "class", "reason", "image_id"} <= set(listed)
    again = json.loads(call(capsys, *arguments, "--json")[1])
    assert again["computed"] == 0
    code, out, _ = call(capsys, *arguments, "--class", "bus")
    assert code == 0
    assert "1 photos of truth" in out
    assert paths[0] in out
    agreement = json.loads(call(capsys, *arguments, "--agreement", "--json")[1])
    assert agreement["photos"][0]["path"] == paths[0]
    assert agreement["photos"][0]["agreement"] < 0.1


@pytest.mark.slow
def test_without_a_truth_suspects_are_listed(place, capsys):
    folder, run, _ = place
    code, out, _ = call(capsys, "mistakes", "--store", folder / "store", "--json")
    found = json.loads(out)
    assert (code, found["run"], found["images"]) == (0, run, 5)
    assert all(photo["reason"] for photo in found["photos"])
    code, out, _ = call(capsys, "mistakes", "--store", folder / "store", "--where", "label=nobody")
    assert (code, out.startswith("0 suspects among 0 photos")) == (0, True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--class", "cat"), "--class goes with --truth, which is missing: name the ground truth, or use --where."),
        (("--truth", "truth", "--run", "a", "--run", "b"), "One run judges a ground truth, and 2 are named: name one."),
        (("--truth", "truth", "--agreement", "--order", "place"), "--order goes with label quality"),
        (("--truth", "truth", "--format", "voc", "--class", "unicorn"), "unicorn"),
        (("--run", "nobody"), "nobody"),
    ],
)
def test_what_contradicts_itself_is_one_sentence(place, capsys, arguments, expected):
    folder, _, _ = place
    given = [folder / "truth" if one == "truth" else one for one in arguments]
    assert expected in sentence(capsys, 2, "mistakes", "--store", folder / "store", *given)


@pytest.mark.slow
def test_imported_masks_have_no_probabilities(place, capsys):
    folder, _, _ = place
    names = folder / "classes.txt"
    names.write_text("\n".join(VOC_CLASSES))
    imported = ("import-masks", folder / "truth", "--classes", names, "--name", "drawn", "--store", folder / "store")
    assert call(capsys, *imported)[0] == 0
    run = Store(folder / "store").runs()[-1].run
    arguments = ("mistakes", "--truth", folder / "truth", "--format", "voc", "--run", run, "--store", folder / "store")
    assert "came without a model, so there are no probabilities" in sentence(capsys, 2, *arguments)
    found = json.loads(call(capsys, *arguments, "--agreement", "--json")[1])
    assert {photo["agreement"] for photo in found["photos"]} == {1.0}
