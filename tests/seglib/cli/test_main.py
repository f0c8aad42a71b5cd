"""The command line on the sample with the embedded net, and its sentences and exit codes."""

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from seglib.cli import main
from seglib.cli.common import escape_for_terminal
from seglib.evaluation import latency
from seglib.models import registry
from seglib.models.registry import MODELS
from seglib.progress import ProgressBar
from seglib.store.store import Store
from tests.conftest import ROOT, SAMPLE


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("cli") / "store"
    assert main.main(["run", str(SAMPLE), "--store", str(path), "--workers", "0"]) == 0
    return path


def call(capsys, *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    try:
        code = main.main([str(a) for a in arguments])
    except SystemExit as stop:
        code = int(stop.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def sentence(capsys, code: int, *arguments: object) -> str:
    """The one line that a failing command prints; nothing on standard output."""
    found, out, err = call(capsys, *arguments)
    assert (found, out) == (code, "")
    assert err.startswith("seglib: ")
    assert err.count("\n") == 1
    return err


# --- the main road ---


@pytest.mark.slow
def test_the_sample_gives_13_rows_and_each_animal_is_what_its_folder_says(store, tmp_path, capsys):
    code, out, _ = call(capsys, "export", "stats", "--store", store, "--format", "csv", "--out", tmp_path / "s.csv")
    assert (code, out) == (0, f"13 rows written to {tmp_path / 's.csv'}\n")
    table = pd.read_csv(tmp_path / "s.csv")
    assert len(table) == 13
    assert table["model"].unique().tolist() == ["fcn_mobilenet_v2"]
    pixels = table[[c for c in table if c.startswith("px:")]].sum(axis=1)
    assert (pixels == table["grid_width"] * table["grid_height"]).all()
    animals = table[table["label"].isin(["cats", "dogs"])]
    right = animals["label"].str.rstrip("s") == animals["animal"]
    assert (len(animals), right.sum()) == (9, 9)
    others = table.set_index("path")["dominant"]
    assert others.filter(like="others/").tolist() == ["person", "cow", "horse", "sheep"]


@pytest.mark.slow
def test_a_rerun_prints_one_object_with_the_agreed_fields(store, capsys):
    code, out, _ = call(capsys, "run", SAMPLE, "--store", store, "--json")
    assert code == 0
    (line,) = out.splitlines()
    found = json.loads(line)
    assert found.keys() >= {"run", "model", "images", "computed", "reused", "failed", "seconds", "images_per_second"}
    assert (found["images"], found["computed"], found["reused"], found["failed"]) == (13, 0, 13, 0)


@pytest.mark.slow
def test_a_rerun_with_nothing_to_do_does_not_import_torch(store):
    code = (
        "import sys; from seglib.cli.main import main; code = main(sys.argv[1:]);"
        "assert not {'lark', 'torch', 'streamlit', 'scipy', 'torchvision'} & set(sys.modules); sys.exit(code)"
    )
    subprocess.run([sys.executable, "-c", code, "run", SAMPLE, "--store", store], cwd=ROOT, check=True, timeout=60)


def test_two_models_are_two_objects(tmp_path, capsys):
    code, out, err = call(
        capsys, "run", SAMPLE, "--store", tmp_path / "s", "--resize", "64", "--limit", 2, "--workers", 0, "--json",
        "--model", "fcn_mobilenet_v2", "--model", "fcn_mobilenet_v2",
    )  # fmt: skip
    assert (code, len(out.splitlines())) == (0, 1)  # named twice is run once
    assert json.loads(out)["images"] == 2
    assert re.fullmatch(
        r"seglib: fcn_mobilenet_v2-64-[0-9a-f]{8}: up to 2 photos to compute, in (bf16|fp32) "
        r"\(chosen by --precision auto\)\.\n",
        err,
    )


def test_masks_are_palette_pictures_with_the_counts_of_their_rows(store, tmp_path, capsys):
    assert call(capsys, "export", "masks", "--store", store, "--out", tmp_path / "masks")[0] == 0
    call(capsys, "export", "stats", "--store", store, "--out", tmp_path / "s.csv")
    for _, row in pd.read_csv(tmp_path / "s.csv").iterrows():
        with Image.open(tmp_path / "masks" / row["run"] / row["dataset"] / (row["path"] + ".png")) as mask:
            assert mask.mode == "P"
            counts = np.bincount(np.array(mask).ravel(), minlength=21)
        assert counts.tolist() == [row[f"px:{name}"] for name in MODELS["fcn_mobilenet_v2"].classes]


def test_where_reads_the_dashboards_filter(store, tmp_path, capsys):
    out = tmp_path / "s.parquet"
    where = "label=cats&share.cat=0.5..1"
    code, _, _ = call(
        capsys, "export", "stats", "--store", store, "--format", "parquet", "--where", where, "--out", out
    )
    assert code == 0
    assert pd.read_parquet(out)["path"].tolist() == ["cats/chelsea.png", "cats/persian.jpg", "cats/siamese.jpg"]


def test_the_dictionary_lies_beside_the_statistics(store, tmp_path, capsys):
    call(capsys, "export", "stats", "--store", store, "--dictionary", "--out", tmp_path / "s.csv")
    words = pd.read_csv(tmp_path / "s.dictionary.csv")
    assert words["column"].tolist() == pd.read_csv(tmp_path / "s.csv").columns.tolist()


def test_overlays_leave_as_zip(store, tmp_path, capsys):
    arguments = (
        "export",
        "overlays",
        "--store",
        store,
        "--format",
        "zip",
        "--where",
        "label=dogs",
        "--palette",
        "okabe-ito",
    )
    code, out, _ = call(capsys, *arguments, "--out", tmp_path / "o.zip", "--json")
    assert code == 0
    assert json.loads(out)["count"] == 2


@pytest.mark.slow
def test_tags_are_put_on_taken_off_and_undone(tmp_path, capsys):
    where = ("--store", tmp_path / "s")
    assert call(capsys, "run", SAMPLE / "cats", *where, "--workers", 0, "--resize", "64")[0] == 0
    assert call(capsys, "tag", "seen", "--where", "", *where)[1] == "7 photos have got the tag seen\n"
    assert call(capsys, "tag", "seen", "--where", "path=tabby", "--remove", *where)[1].startswith("1 photos have lost")
    assert "tag seen: 6 photos" in call(capsys, "status", *where)[1]
    out = tmp_path / "tagged.csv"
    assert call(capsys, "export", "stats", "--where", "tag=seen", "--out", out, *where)[0] == 0
    assert len(out.read_text().splitlines()) == 7
    assert call(capsys, "tag", "--undo", *where)[1] == "undone: removal of seen, 1 photos\n"
    assert json.loads(call(capsys, "tag", "--undo", "--json", *where)[1]) == {
        "tag": "seen",
        "photos": 7,
        "undone": True,
    }
    assert call(capsys, "tag", "--undo", *where)[1] == "nothing to undo\n"
    for wrong in (["seen"], ["--where", ""], ["seen", "--undo"], ["a|b", "--where", ""]):
        assert call(capsys, "tag", *wrong, *where)[0] == 2


def test_status_counts_and_prune_removes(tmp_path, capsys):
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("tabby.jpg", "siamese.jpg"):
        (photos / name).write_bytes((SAMPLE / "cats" / name).read_bytes())
    (photos / "bad.jpg").write_bytes(b"")
    for name in ("a.mov", "b.mov", "c.mp4"):
        (photos / name).write_bytes(b"x")
    (photos / "out.jpg").symlink_to(SAMPLE / "cats" / "tabby.jpg")
    run = ("run", photos, "--store", tmp_path / "s", "--workers", 0, "--resize", "64")
    assert call(capsys, *run)[0] == 0
    (photos / "tabby.jpg").unlink()
    code, out, _ = call(capsys, *run)
    assert (code, "1 files of the last scan are gone" in out) == (0, True)
    left_out = (
        "  3 files of other kinds were left out: 2 .mov, 1 .mp4.\n"
        "  1 link out of the folder was left out: follow with --follow-links, or name the folder that holds the "
        "photos.\n"
    )
    assert left_out in out
    counted = {"kinds": {".mov": 2, ".mp4": 1}, "links_outside": 1, "links_broken": 0, "links_circular": 0}
    assert json.loads(call(capsys, *run, "--json")[1])["left_out"] == counted
    code, out, _ = call(capsys, "status", "--store", tmp_path / "s")
    assert left_out in out
    assert "dataset photos: 2 files, 1 failed, 1 vanished" in out
    assert "failed: bad.jpg (empty): The file has no bytes." in out
    found = json.loads(call(capsys, "status", "--store", tmp_path / "s", "--json")[1])
    assert found["stale"] > 0
    assert found["datasets"][0]["left_out"] == counted
    assert found["failures"][0]["reason"] == "empty"
    assert call(capsys, "prune", "--store", tmp_path / "s")[1].startswith(f"{found['stale']} stale")
    assert json.loads(call(capsys, "prune", "--store", tmp_path / "s", "--json")[1]) == {"removed": 0}


def test_prune_removes_whole_runs_by_name(tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "tabby.jpg").write_bytes((SAMPLE / "cats" / "tabby.jpg").read_bytes())
    run = ("run", tmp_path / "photos", "--store", tmp_path / "s", "--workers", 0, "--resize", "64", "--json")
    name = json.loads(call(capsys, *run)[1])["run"]
    code, _, said = call(capsys, "prune", "--store", tmp_path / "s", "--run", "gone")
    assert (code, name in said) == (2, True)
    code, out, _ = call(capsys, "prune", "--store", tmp_path / "s", "--run", name, "--json")
    assert (code, json.loads(out)) == (0, {"removed": 1, "runs": [name]})
    assert not (tmp_path / "s" / "runs" / name).exists()


@pytest.mark.slow
def test_predict_draws_the_tutorials_pictures(tmp_path, capsys):
    code, out, _ = call(capsys, "predict", SAMPLE, "--samples", 3, "--seed", 1, "--alpha", 0.5, "--out", tmp_path / "p")
    assert code == 0
    assert "confidence" in out
    names = sorted(p.name for p in (tmp_path / "p").iterdir())
    assert len(names) == 2 + 3 * 4
    assert {"image_samples.png", "segmentation_output.png"} < set(names)
    again = call(capsys, "predict", SAMPLE, "--samples", 3, "--seed", 1, "--out", tmp_path / "q")[1]
    assert again.splitlines()[:3] == out.splitlines()[:3]


def test_predict_of_one_photo_gives_masks_at_its_own_size(tmp_path, capsys):
    photo = SAMPLE / "cats" / "tabby.jpg"
    code, out, _ = call(capsys, "predict", photo, "--out", tmp_path, "--palette", "random:3", "--json")
    assert code == 0
    about = json.loads(out)
    assert 0 < about["confidence"] <= 1
    with Image.open(photo) as image, Image.open(tmp_path / "tabby_mask.png") as mask:
        assert mask.size == image.size == (about["width"], about["height"])
        assert mask.mode == "P"
        assert 8 in np.unique(np.array(mask))
    with Image.open(tmp_path / "tabby_side_by_side.png") as both, Image.open(tmp_path / "tabby_overlay.png") as overlay:
        assert both.size == (2 * overlay.width, overlay.height)


def test_models_lists_what_is_here(capsys):
    code, out, _ = call(capsys, "models")
    assert code == 0
    table, trainable = out.split("\n\n")
    lines = [line for line in table.splitlines()[1:] if not line.startswith(" ")]
    assert [line.split()[0] for line in lines] == list(MODELS)
    assert "  never trained on aeroplane, bird, boat, bottle, bus, diningtable, train" in table.splitlines()
    assert "segnet" in trainable
    rows = [json.loads(line) for line in call(capsys, "models", "--json")[1].splitlines()]
    assert rows[0] | {"name": "fcn_mobilenet_v2", "here": True, "classes": 21, "net_side": 320} == rows[0]
    assert rows[0]["untrained_classes"] == []
    assert len(rows[1]["untrained_classes"]) == 7
    assert [row["net_side"] for row in rows[2:]] == [None] * (len(MODELS) - 2)
    sees = {line.split()[0]: line.split()[3] for line in lines}
    assert (sees["fcn_mobilenet_v2"], sees["fcn_resnet50"]) == ("short:320", "short:520")


def test_models_says_what_a_file_was_trained_on_and_a_run_of_it_too(tmp_path, capsys):
    torch.manual_seed(0)
    file, state = tmp_path / "pets.safetensors", registry.get_model_builder("fcn_mobilenet_v2")(3).state_dict()
    about = {"architecture": "fcn_mobilenet_v2", "classes": '["background", "cat", "yak"]', "resize": "96"}
    save_file(state, file, about)
    code, out, _ = call(capsys, "models", file)
    assert (code, "does not say which of them" in out, "3 classes: background, cat, yak" in out) == (0, True, True)
    save_file(state, file, about | {"trained_classes": '["background", "cat"]'})
    assert "never trained on yak" in call(capsys, "models", file)[1]
    row = json.loads(call(capsys, "models", file, "--json")[1])
    assert (row["trained_classes"], row["untrained_classes"]) == (["background", "cat"], ["yak"])
    arguments = ("run", SAMPLE, "--store", tmp_path / "s", "--weights", file, "--limit", 1, "--workers", 0)
    assert "fcn_mobilenet_v2 was never trained on yak" in call(capsys, *arguments)[2]
    assert Store(tmp_path / "s").run().untrained_classes == ("yak",)
    assert "never trained on yak" in call(capsys, "status", "--store", tmp_path / "s")[1]
    for contradiction in ("7", '["background", "gnu"]', "[["):
        save_file(state, file, about | {"trained_classes": contradiction})
        code, _, err = call(capsys, "models", file)
        assert (code, "has metadata that cannot be read" in err) == (1, True)
    assert call(capsys, "models", tmp_path / "nothing.safetensors")[0] == 1


def test_own_weights_name_their_model_themselves(tmp_path, capsys):
    torch.manual_seed(0)
    file = tmp_path / "pets.safetensors"
    about = {"architecture": "fcn_mobilenet_v2", "classes": '["background", "pet"]', "resize": "96"}
    save_file(registry.get_model_builder("fcn_mobilenet_v2")(2).state_dict(), file, about)
    arguments = ("run", SAMPLE, "--store", tmp_path / "s", "--weights", file, "--limit", 2, "--workers", 0)
    code, out, _ = call(capsys, *arguments, "--json")
    assert code == 0
    assert json.loads(out)["run"].startswith("fcn_mobilenet_v2-96-")
    call(capsys, "export", "stats", "--store", tmp_path / "s", "--out", tmp_path / "s.csv")
    table = pd.read_csv(tmp_path / "s.csv")
    assert [c for c in table if c.startswith("px:")] == ["px:background", "px:pet"]
    assert table["animal"].isna().all()


def test_a_torchvision_state_dict_runs_by_weights(tmp_path, capsys):
    torch.manual_seed(0)
    file = tmp_path / "lraspp.pth"
    torch.save(MODELS["lraspp_mobilenet_v3_large"].build(21).state_dict(), file)
    arguments = ("run", SAMPLE, "--store", tmp_path / "s", "--model", "lraspp_mobilenet_v3_large", "--weights", file)
    code, out, _ = call(capsys, *arguments, "--resize", "short:64", "--limit", 3, "--workers", 0, "--json")
    assert (code, json.loads(out)["computed"]) == (0, 3)


# --- bad input ---


def test_bad_requests_are_one_sentence_with_exit_code_2(store, tmp_path, capsys):
    assert "not a folder" in sentence(capsys, 2, "run", tmp_path / "nowhere", "--store", tmp_path / "s")
    assert "known are" in sentence(capsys, 2, "run", SAMPLE, "--model", "fcn", "--store", tmp_path / "s")
    two = ("--model", "fcn_resnet50", "--model", "fcn_resnet101", "--weights", "x.pth")
    assert "single --model" in sentence(capsys, 2, "run", SAMPLE, *two, "--store", tmp_path / "s")
    assert "key=value" in sentence(capsys, 2, "export", "stats", "--store", store, "--where", "cats", "--out", "x")
    assert "known are" in sentence(capsys, 2, "export", "stats", "--store", store, "--run", "x", "--out", "x")
    assert "csv or parquet" in sentence(capsys, 2, "export", "stats", "--store", store, "--format", "xml", "--out", "x")
    assert "palette" in sentence(capsys, 2, "predict", SAMPLE, "--palette", "jet", "--out", tmp_path)
    assert "text file" in sentence(capsys, 2, "run", SAMPLE, "--list", tmp_path / "none", "--store", tmp_path / "s")
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    "arguments",
    [[], ["fly"], ["run"], ["run", ".", "--resize", "big"], ["run", ".", "--max-failure-rate", "2"],
     ["export", "stats"], ["run", ".", "--workers", "-1"], ["run", ".", "--batch-size", "0"],
     ["run", ".", "--precision", "fp8"]],
)  # fmt: skip
def test_bad_usage_exits_with_2(arguments, capsys):
    code, out, err = call(capsys, *arguments)
    assert (code, out) == (2, "")
    assert "error:" in err


def test_missing_things_are_one_sentence_with_exit_code_1(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("torch.hub.urlopen", lambda *_, **__: (_ for _ in ()).throw(OSError("no network")))
    assert "no store" in sentence(capsys, 1, "status", "--store", tmp_path / "s")
    code, out, err = call(capsys, "run", SAMPLE, "--store", tmp_path / "s", "--model", "fcn_resnet50")
    assert (code, out) == (1, "")  # what torchvision says of its download goes to standard error
    said = err.splitlines()[-1]
    assert "fcn_resnet50_coco-1167a1af.pth" in said
    assert "--model fcn_mobilenet_v2, which works offline" in said
    (tmp_path / "bad.jpg").write_bytes(b"")
    assert "None of the photos" in call(capsys, "predict", tmp_path / "bad.jpg", "--out", tmp_path / "p")[2]


def test_too_many_failures_end_with_1_and_one_sentence(tmp_path, capsys):
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "good.jpg").write_bytes((SAMPLE / "cats" / "tabby.jpg").read_bytes())
    (photos / "bad.jpg").write_bytes(b"")
    run = ("run", photos, "--store", tmp_path / "s", "--workers", 0, "--resize", "64", "--json")
    assert call(capsys, *run)[0] == 0  # failures never fail a run ...
    code, _, err = call(capsys, *run, "--max-failure-rate", 0.01)
    assert (code, err.count("\n")) == (1, 1)
    assert "1 of 2 photos cannot be read" in err
    assert call(capsys, *run, "--max-failure-rate", 0.5)[0] == 0
    (photos / "good.jpg").unlink()
    assert call(capsys, *run)[0] == 1  # ... unless every file failed


def test_a_store_that_cannot_be_written_is_a_sentence(tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    assert "cannot be created" in sentence(capsys, 1, "run", SAMPLE, "--store", tmp_path / "file" / "s")


@pytest.mark.slow
def test_the_reader_of_our_output_may_go_away(store):
    command = f"{sys.executable} -m seglib status --store {store} --json | true"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""


def test_progress_shows_speed_and_time_left_on_a_terminal(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    from seglib.pipeline.session import RunProgress

    with ProgressBar() as bar:
        bar(RunProgress(total=10, run="net-224", precision="bf16", reused=4))
        bar(RunProgress(total=10, run="net-224", precision="bf16", reused=4, computed=5, failed=1))
    shown = terminal.getvalue()
    assert "net-224 bf16" in shown
    assert "10/10" in shown
    assert "photos/s" in shown
    assert "failed=1" in shown


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("cats/a b.jpg", "cats/a b.jpg"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("a\nseglib: all is well", "a\\nseglib: all is well"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("\x9b2J", "\\x9b2J"),
        ("👩\u200d👧 é שלום", "👩\u200d👧 é שלום"),
    ],
)
def test_a_name_moves_no_cursor_and_forges_no_line(name, shown):
    assert escape_for_terminal(name) == shown


# --- cost ---


def test_cost_measures_a_run_and_says_what_each_time_is(tmp_path, capsys, monkeypatch):
    store = tmp_path / "s"
    assert call(capsys, "run", SAMPLE, "--store", store, "--workers", 0, "--resize", "32", "--limit", 1)[0] == 0
    name = Store(store).run().run
    _, out, _ = call(capsys, "cost", "--store", store)
    assert "not measured yet" in out
    monkeypatch.setattr(latency, "_LISTEN_SECONDS", 0)
    code, out, _ = call(capsys, "cost", name, "--store", store, "--repeats", 1, "--json")
    row = json.loads(out)
    assert (code, row["run"], row["latency_device"]) == (0, name, "cpu")
    assert row["latency_ms"] > 0
    assert row["ms_per_image"] > 0
    _, out, _ = call(capsys, "cost", "--store", store)
    assert f"{row['latency_ms']:,}" in out
    assert "one photo at a time" in out
    assert ("other processes were at work" in out) == (row["latency_alone"] is False)
    assert "There is no run" in sentence(capsys, 2, "cost", "gone", "--store", store)
