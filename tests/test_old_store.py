"""A store written by commit 3318a63 gives the same answers today, and nothing in it has to be computed again.

Only the command line is used, so that the test stays as it is while modules move. `fixtures/README.md` says how the
store was made.
"""

import contextlib
import csv
import hashlib
import io
import json
import math
import os
import runpy
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FIXTURE = Path(__file__).resolve().parent / "fixtures" / "store_3318a63"
EXPECTED = json.loads((FIXTURE / "expected.json").read_text("utf-8"))
MTIME_NS = 1_700_000_000 * 10**9
"""Of all photos and annotations when the store was made; git does not keep it."""

FIGURE = ("", "_interval", "_mean", "_mean_interval", "_n")
"""Endings of a figure's five fields in the JSON of `compare` and `evaluate`."""

RUNS = EXPECTED["compare"]["runs"]
FCN, UNET, IMPORTED = RUNS


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A copy of the fixture, as if commit 3318a63 had made it here."""
    folder = tmp_path.resolve() / "work"
    shutil.copytree(FIXTURE, folder)
    for file in (*folder.glob("photos/*/*"), *folder.glob("truth/*/*")):
        os.utime(file, ns=(MTIME_NS, MTIME_NS))
    rename_places(folder)
    return folder


def rename_places(folder: Path) -> None:
    """Replace the original's absolute paths, and the ids that are digests of them, by those of this folder."""
    store, photos, truth = (folder / name for name in ("output", "photos", "truth"))
    (dataset_file,), (truth_file,) = store.glob("datasets/*/dataset.json"), store.glob("truths/*/truth.json")
    about = json.loads(truth_file.read_text("utf-8"))
    new = {
        json.loads(dataset_file.read_text("utf-8"))["root"]: str(photos),
        dataset_file.parent.name: digest(str(photos), 8),
        truth_file.parent.name: digest("\n".join((str(truth), about["format"], *about["classes"])), 8),
    }
    for file in store.rglob("*.json"):
        text = file.read_text("utf-8")
        for before, after in new.items():
            text = text.replace(json.dumps(before), json.dumps(after))
        record = json.loads(text)
        if isinstance(record, dict) and record.pop("checksum", None):
            checksum = digest(json.dumps(record, sort_keys=True), 16)
            file.write_text(json.dumps({**record, "checksum": checksum}), "utf-8")
    for place in (*store.glob("datasets/*"), *store.glob("truths/*"), *store.glob("evaluate/*")):
        before = place.name[-8:]
        place.rename(place.with_name(place.name.removesuffix(before) + new[before]))


def digest(text: str, length: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def seglib(work: Path, *arguments: object) -> list[dict[str, Any]]:
    """What `python -m seglib ... --json` prints. It runs in this process: a new one would spend seconds on imports."""
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out):
        patch.setattr(sys, "argv", ["seglib", *map(str, arguments), "--store", str(work / "output"), "--json"])
        with pytest.raises(SystemExit) as stop:
            runpy.run_module("seglib", run_name="__main__")
    assert stop.value.code == 0, out.getvalue()
    return [json.loads(line) for line in out.getvalue().splitlines()]


def rows(work: Path) -> list[dict[str, str]]:
    """The rows of `export stats` as text, with the columns that it had then."""
    seglib(work, "export", "stats", "--format", "csv", "--out", work / "stats.csv")
    with (work / "stats.csv").open(encoding="utf-8", newline="") as file:
        return [{name: row[name] for name in EXPECTED["columns"]} for row in csv.DictReader(file)]


def expected_rows() -> list[dict[str, str]]:
    return [dict(zip(EXPECTED["columns"], row, strict=True)) for row in EXPECTED["rows"]]


def differences(actual: Any, expected: Any, where: str = "") -> Iterator[str]:
    """Where `actual` is not as expected. It may have more keys, and floats may differ in their last digits."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        for name, value in as_printed(expected).items():
            yield from differences(actual.get(name, "nothing"), value, f"{where}/{name}")
    elif isinstance(expected, list) and isinstance(actual, list) and len(actual) == len(expected):
        for i, (one, other) in enumerate(zip(actual, expected, strict=True)):
            yield from differences(one, other, f"{where}/{i}")
    elif isinstance(expected, float) and isinstance(actual, float | int):
        if not math.isclose(actual, expected, rel_tol=1e-9, abs_tol=1e-12):
            yield f"{where}: {actual}, not {expected}"
    elif actual != expected:
        yield f"{where}: {actual}, not {expected}"


def as_printed(expected: dict[str, Any]) -> dict[str, Any]:
    """`expected.json` holds the fields of a figure in one list, and lists the figures that have no value by name."""
    flat = {key: value for key, value in expected.items() if key not in ("figures", "undefined")}
    figures = expected.get("figures", {}) | dict.fromkeys(expected.get("undefined", ()), (None, None, None, None, 0))
    for name, values in figures.items():
        flat |= {f"{name}{end}": value for end, value in zip(FIGURE, values, strict=True)}
    return flat


# --- what is in the store ---


def test_runs_of_an_old_store_keep_their_names(work):
    (status,) = seglib(work, "status")
    assert [run["run"] for run in status["runs"]] == RUNS
    assert list(differences(status["runs"], EXPECTED["status"]["runs"])) == []


def test_rows_of_an_old_store_stay_as_they_were(work):
    assert rows(work) == expected_rows()


def test_an_old_store_can_be_read_where_its_photos_are_not(tmp_path):
    shutil.copytree(FIXTURE / "output", tmp_path / "output")
    assert rows(tmp_path) == expected_rows()


def test_photos_of_an_old_store_are_found_in_their_folder(work):
    (exported,) = seglib(work, "export", "overlays", "--out", work / "overlays")
    assert exported["count"] == len(EXPECTED["rows"])


def test_files_of_an_old_store_that_failed_keep_their_reasons(work):
    (status,) = seglib(work, "status")
    assert list(differences(status["datasets"], EXPECTED["status"]["datasets"])) == []
    assert list(differences(status["failures"], EXPECTED["status"]["failures"])) == []


def test_tags_of_an_old_store_stay_and_can_be_undone(work):
    (status,) = seglib(work, "status")
    assert status["tags"]["photos"] == EXPECTED["status"]["tags"]["photos"] == {"favourite": 2, "zu prüfen": 3}
    (undone,) = seglib(work, "tag", "--undo")  # the last one that counts took `favourite` off a photo
    assert (undone["tag"], undone["photos"]) == ("favourite", 1)
    (status,) = seglib(work, "status")
    assert status["tags"]["photos"] == {"favourite": 3, "zu prüfen": 3}


def test_nothing_in_an_old_store_counts_as_damaged(work):
    assert seglib(work, "status", "--verify") == [{"damaged": []}]


# --- nothing to compute ---


def test_a_model_has_nothing_to_compute_in_an_old_store(work):
    """The precision is left to `auto`, which must take that of the store: else this would be another run.

    The bundled FCN has other weights since then, so that it has another run.
    """
    fcn, unet = seglib(work, "run", work / "photos", "--model", "fcn_mobilenet_v2", "--model", "unet_mobilenet_v2")
    counts = ("images", "computed", "reused", "failed")
    assert (unet["run"], unet["precision"], [unet[name] for name in counts]) == (UNET, "fp32", [8, 0, 7, 1])
    assert fcn["run"] != FCN
    assert [fcn[name] for name in counts] == [8, 6, 1, 1]  # two photos are the same
    (status,) = seglib(work, "status")
    assert [one["dataset"] for one in status["datasets"]] == ["photos"]


def test_comparisons_of_an_old_store_stay_and_are_not_counted_again(work):
    (comparison,) = seglib(work, "compare", "--runs", *RUNS)
    assert (comparison["computed"], comparison["reused"]) == (0, 6)
    found = list(differences(comparison, EXPECTED["compare"]))
    of_weights = [one for one in found if one.startswith("/costs/0/")]  # which are not the bundled ones any more
    assert [one.partition(":")[0] for one in of_weights] == ["/costs/0/gflops", "/costs/0/checkpoint_bytes"]
    assert found == of_weights


def test_evaluations_of_an_old_store_stay_and_are_not_counted_again(work):
    chosen = [part for run in RUNS for part in ("--run", run)]
    (evaluation,) = seglib(work, "evaluate", "--truth", work / "truth", *chosen)
    assert evaluation["computed"] == 0
    assert list(differences(evaluation, EXPECTED["evaluate"])) == []


def test_calibrations_of_an_old_store_stay_and_are_not_counted_again(work):
    (evaluation,) = seglib(work, "evaluate", "--truth", work / "truth", "--run", FCN, "--run", UNET, "--calibration")
    assert evaluation["computed"] == 0
    assert list(differences(evaluation["pairs"], EXPECTED["evaluate"]["pairs"][:2])) == []


def test_masks_imported_into_an_old_store_are_not_imported_again(work):
    report = seglib(work, "import-masks", work / "masks", "--classes", work / "classes.txt", "--name", "drawn")[0]
    assert (report["run"], report["computed"], report["reused"]) == (IMPORTED, 0, 6)
