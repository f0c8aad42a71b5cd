"""The embedded network on real photos of cats and dogs; skipped where the development data is not at hand."""

import pytest

from seglib.models.registry import find_model_spec
from seglib.pipeline import run
from seglib.pipeline.session import RunOptions
from seglib.query import statistics
from seglib.store.store import Store


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_animal_equals_the_folder_label_on_nearly_all_photos(shared, tmp_path, precision):
    folder = shared / "data" / "dogs-cats" / "test_set"
    names = [p.relative_to(folder).as_posix() for p in sorted(folder.glob("*/*.jpg"))[::12]]
    store = Store.create(tmp_path / "store")
    report = run.run(folder, store, find_model_spec(), precision=precision, options=RunOptions(names=tuple(names)))
    assert (report.computed, report.failed) == (len(names), 0)
    table = store.table()
    found = statistics.key_figures(table)
    assert found.claiming == len(names) >= 40
    assert found.agreeing / found.claiming >= 0.94
    assert table["split"].unique().tolist() == ["test"]
    counts = table[[c for c in table if c.startswith("px:")]].sum(axis=1)
    assert (counts == table["grid_width"] * table["grid_height"]).all()
