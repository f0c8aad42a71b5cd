"""Names that people give: labels in the names of photos, lists of names, filters by name."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd

from seglib.annotations.class_names import read_label_map
from seglib.models.registry import MODELS
from tests.conftest import ROOT, SAMPLE
from tests.seglib.cli.test_main import call, sentence


def test_labels_in_names_are_offered_and_taken(tmp_path, capsys):
    photos = tmp_path / "train"
    photos.mkdir()
    for name in ("cats/tabby.jpg", "cats/siamese.jpg", "dogs/dog_bicycle_car.jpg", "dogs/german_shepherd.webp"):
        data = (SAMPLE / name).read_bytes()
        (photos / f"{name[:3]}.{len(data)}{Path(name).suffix}").write_bytes(data)
    run = ("run", photos, "--store", tmp_path / "s", "--workers", 0, "--resize", "32")
    code, _, err = call(capsys, *run)
    assert code == 0
    assert "begin with 'cat' (2), 'dog' (2): set --label-from to name to take these words as labels." in err
    code, out, err = call(capsys, *run, "--label-from", "name")
    assert (code, err, "0 computed, 4 reused" in out) == (0, "", True)
    out = tmp_path / "cats.csv"
    assert call(capsys, "export", "stats", "--where", "label=cat", "--out", out, "--store", tmp_path / "s")[0] == 0
    assert len(pd.read_csv(out)) == 2


def test_lists_may_be_written_by_windows(tmp_path, capsys):
    (tmp_path / "list.txt").write_bytes("cats/tabby.jpg\r\n\r\nsiamese\r\n".encode("utf-16"))
    run = ("run", SAMPLE, "--store", tmp_path / "s", "--workers", 0, "--resize", "32", "--json")
    code, out, _ = call(capsys, *run, "--list", tmp_path / "list.txt")
    assert (code, json.loads(out)["images"]) == (0, 2)
    (tmp_path / "list.txt").write_bytes("Kätzchen.jpg".encode("latin-1"))
    assert "save it as UTF-8" in sentence(capsys, 2, *run, "--list", tmp_path / "list.txt")


def test_an_empty_selection_says_how_a_plus_sign_is_read(tmp_path, capsys):
    assert call(capsys, "run", SAMPLE, "--store", tmp_path / "s", "--workers", 0, "--resize", "32")[0] == 0
    out = ("--store", tmp_path / "s", "--out", tmp_path / "s.csv")
    for where, said in (("label=a+b", "write %2B for a plus sign"), ("label=cats", ""), ("label=birds", "")):
        code, _, err = call(capsys, "export", "stats", *out, "--where", where)
        assert code == 0
        assert said in err
        assert bool(err) == bool(said)


def test_a_label_map_is_kept_and_computes_nothing(tmp_path, capsys):
    store, photos = tmp_path / "s", tmp_path / "photos"
    for folder, name in (("n02123045", "cats/tabby.jpg"), ("wolves", "dogs/german_shepherd.webp")):
        (photos / folder).mkdir(parents=True)
        (photos / folder / Path(name).name).write_bytes((SAMPLE / name).read_bytes())
    run = ("run", photos, "--store", store, "--workers", 0)
    assert call(capsys, *run)[0] == 0
    assert contents(capsys, store, tmp_path) == {"n02123045": "", "wolves": ""}
    (tmp_path / "map.csv").write_text("\ufefflabel,class\nN02123045,Cats\nwolves,dog\nfoxes,tiger\n", "utf-8")
    code, out, err = call(capsys, *run, "--label-map", tmp_path / "map.csv")
    assert (code, "0 computed, 2 reused" in out) == (0, True)
    assert "The label map names 'foxes': no photo here has such a label." in err
    assert "fcn_mobilenet_v2 knows no class 'tiger', which the label map names." in err
    assert contents(capsys, store, tmp_path) == {"n02123045": "cat", "wolves": "dog"}
    assert call(capsys, *run)[0] == 0  # without the option, the map stays
    assert contents(capsys, store, tmp_path, "--where", "content=dog&agreement=agrees") == {"wolves": "dog"}


def contents(capsys, store: Path, folder: Path, *arguments: object) -> dict[str, str]:
    export = ("export", "stats", "--out", folder / "out.csv", "--store", store)
    assert call(capsys, *export, *arguments)[0] == 0
    return dict(pd.read_csv(folder / "out.csv", keep_default_na=False)[["label", "content"]].values)


def test_a_label_map_of_another_dataset_is_refused_and_the_one_before_stays(tmp_path, capsys):
    run = ("run", SAMPLE, "--store", tmp_path / "s", "--workers", 0, "--resize", "32", "--limit", 1)
    (tmp_path / "map.txt").write_text("others = person\n")
    assert call(capsys, *run, "--label-map", tmp_path / "map.txt")[0] == 0
    kept = next((tmp_path / "s").glob("datasets/*/labels.json")).read_bytes()
    (tmp_path / "map.txt").write_text("cat = cats\ndog = dogs\n")  # the columns are exchanged
    said = sentence(capsys, 2, *run, "--label-map", tmp_path / "map.txt")
    assert "names 'cat', 'dog', none of which is a label here ('cats', 'dogs', 'others')" in said
    (tmp_path / "map.txt").write_text("cats = cat = tiger\n")
    assert "one = between them" in sentence(capsys, 2, *run, "--label-map", tmp_path / "map.txt")
    assert next((tmp_path / "s").glob("datasets/*/labels.json")).read_bytes() == kept


def test_a_label_that_fits_two_classes_is_asked_about(tmp_path, capsys, monkeypatch):
    spec = MODELS["fcn_mobilenet_v2"]
    names = (*spec.classes[:-2], "pet; cats", "animal; cats")
    monkeypatch.setitem(MODELS, spec.name, replace(spec, classes=tuple("tom" if n == "cat" else n for n in names)))
    run = ("run", SAMPLE, "--store", tmp_path / "s", "--workers", 0, "--resize", "32", "--limit", 1)
    _, _, err = call(capsys, *run)
    assert "The label 'cats' fits the classes 'pet; cats', 'animal; cats': say which with --label-map." in err


def test_the_examples_of_the_documentation_run(tmp_path, monkeypatch):
    text = (ROOT / "docs" / "models-content.md").read_text("utf-8")
    (tmp_path / "labels.txt").write_text(re.findall(r"```text\n(.*?)```", text, re.S)[0])
    assert read_label_map(tmp_path / "labels.txt") == {"n02123045": "cat", "wolf_pack": "dog", "train": ""}
    (tmp_path / "dataset").symlink_to(ROOT / "dataset")
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(.*?)```", text, re.S)
    names: dict = {}
    exec(example.replace('"others": "horse"}', '"others": "horse"}, workers=0'), names)
    counts = names["seglib"].folder_vs_content(names["table"])
    assert counts.columns.tolist() == ["cat", "dog", "horse", "none"]
    assert counts.loc["others", "horse"] >= 1
    assert counts.loc[["cats", "dogs"], ["cat", "dog"]].to_numpy().trace() == 9
