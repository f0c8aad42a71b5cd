"""The time of one photo measured alone: what is counted, kept, and marked when others are at work."""

import itertools
import json
from dataclasses import replace

import pytest
from torch import nn

from seglib.adapters.lookup import find_model
from seglib.data.resize import Resize
from seglib.errors import SegError, UsageError
from seglib.evaluation import cost, latency
from seglib.fileio import cpu_load
from seglib.maintenance import cost_record, verify
from seglib.models.registry import GFLOPS_SIDE
from seglib.pipeline import run as pipeline
from seglib.pipeline.session import RunOptions
from seglib.store.store import Store
from tests.seglib.small_runs import run

CLASSES = ("background", "cat", "dog", "person")


@pytest.fixture
def store(tmp_path) -> Store:
    """An empty store."""
    return Store.create(tmp_path / "own")


@pytest.fixture
def photos(paint, tmp_path):
    paint("own/cats/a.png", cat=(0, 0, 32, 48))
    paint("own/cats/b.png", "cat")
    paint("own/dogs/c.png", dog=(0, 0, 64, 24))
    return tmp_path / "photos" / "own"


@pytest.fixture
def quiet(monkeypatch):
    """Nobody listens, and nobody else is at work."""
    monkeypatch.setattr(latency, "_LISTEN_SECONDS", 0)
    loads(monkeypatch, itertools.repeat(0.0))


def loads(monkeypatch, shares) -> None:
    shares = iter(shares)
    monkeypatch.setattr(cpu_load.CpuLoad, "others", property(lambda self: next(shares)), raising=False)
    monkeypatch.setattr(cpu_load.CpuLoad, "__exit__", lambda *_: None)


class Foreign(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x):
        return self.net(x)


@pytest.fixture
def foreign_run(photos, store, quiet):
    report = run(photos, store, find_model(Foreign(), classes=CLASSES), resize=Resize("64x48"))
    return store.run(report.run)


def cost_of(store: Store, name: str) -> dict:
    (row,) = cost.costs(store, [name]).astype("object").to_dict("records")
    return row


def test_a_foreign_torch_model_is_counted_when_it_is_loaded(foreign_run, store):
    row = cost_of(store, foreign_run.run)
    assert row["parameters"] == 3 * 4 * 9 + 4
    assert row["gflops"] == pytest.approx(64 * 48 * 4 * 27 / 1e9, abs=1e-3)
    kept = cost_record.read(store, foreign_run)
    assert kept.gflops == pytest.approx(64 * 48 * 4 * 27 / 1e9, abs=1e-6)
    assert kept.input_rule.grid_wh(GFLOPS_SIDE, GFLOPS_SIDE) == (64, 48)


def test_operations_grow_with_the_photos(paint, tmp_path, store, quiet):
    """The mean over the photos, by the input's area: one of a quarter and one of half of the counted size."""
    paint("grow/a.png", size_wh=(260, 260))
    paint("grow/b.png", size_wh=(520, 260))
    report = run(tmp_path / "photos" / "grow", store, find_model(Foreign(), classes=CLASSES), resize=Resize("native"))
    row = cost_of(store, report.run)
    assert row["gflops"] == pytest.approx((0.25 + 0.5) / 2 * 520 * 520 * 4 * 27 / 1e9, abs=1e-3)


def test_a_model_is_counted_once(photos, store, quiet, monkeypatch):
    spec = find_model(Foreign(), classes=CLASSES)
    run(photos, store, spec, RunOptions(workers=0, limit=1), resize=Resize("64x48"))
    monkeypatch.setattr(cost_record.cost_count, "count_model", None)
    assert run(photos, store, spec, resize=Resize("64x48")).computed == 2


def test_an_adapters_own_rule_of_sizes_is_kept_as_the_nearest_usual_one(foreign_run, store):
    from seglib.adapters.hugging_face.resizing import ProcessorResize

    rule = ProcessorResize("short:128", fit="edges", height=128, width=256, multiple=32)
    cost_record.keep(store, foreign_run, parameters=3, gflops=0.5, input_rule=rule)
    assert cost_record.find_damaged(store) == {}
    known = cost_record.read(store, foreign_run)
    assert (known.parameters, known.gflops, known.input_rule) == (3, 0.5, Resize("short:128"))


def test_unknown_parameters_are_none_and_never_0(photos, store, quiet):
    def colour(x):
        return x[:, :1].repeat(1, 4, 1, 1)

    report = run(photos, store, find_model(colour, classes=CLASSES), resize=Resize("64x48"))
    assert store.run(report.run).parameters is None
    assert (cost_of(store, report.run)["parameters"], cost_of(store, report.run)["gflops"]) == (None, None)


@pytest.fixture
def findable(photos, store, fake, quiet, monkeypatch):
    """A run whose model is found again, without the registry."""
    report = run(photos, store, fake)
    settings = pipeline.InferenceConfig(resize=Resize("64x48"), device="cpu")
    monkeypatch.setattr(latency, "resolve_run_model", lambda store, run, device: (fake, settings))
    return store.run(report.run)


def test_what_is_measured_is_kept_with_how_it_was_measured(findable, store):
    version = store.version()
    found = latency.measure_cost(store, findable, repeats=3)
    assert found.ms > 0
    assert (found.repeats, found.image_wh, found.device) == (3, (64, 48), "cpu")
    assert (found.alone, found.busy_share) == (True, 0.0)
    assert cost_record.read(store, findable).latency == found
    assert store.version() != version
    row = cost_of(store, findable.run)
    assert (row["latency_ms"], row["latency_alone"], row["latency_device"]) == (found.ms, True, "cpu")
    assert row["ms_per_image"] is not None


def test_the_median_after_a_call_to_warm_up_counts(monkeypatch, quiet):
    times = iter([0.0, 100.0, 200.0, 201.0, 300.0, 303.0])
    monkeypatch.setattr(latency.time, "perf_counter", lambda: next(times))
    calls = []
    assert latency.measure_alone(lambda: calls.append(1), 3) == (3000.0, 0.0)
    assert len(calls) == 4


def test_a_busy_machine_is_measured_again_and_the_quietest_counts(monkeypatch, quiet):
    loads(monkeypatch, [0.0, 0.5, 0.0, 0.2, 0.3, 0.1, 0.0, 0.9, 0.9])  # before, during, after
    times = iter(range(12))
    monkeypatch.setattr(latency, "_time", lambda call: next(times))
    notes = []
    assert latency.measure_alone(lambda: None, 1, notes.append) == (1000.0, 0.3)
    assert notes == [f"Other processes use {share} of this machine: measuring again." for share in ("50%", "30%")]


def test_as_soon_as_the_machine_is_idle_it_is_done(monkeypatch, quiet):
    loads(monkeypatch, [0.5, 0.5, 0.5, 0.0, 0.05, 0.1])
    times = iter(range(12))
    monkeypatch.setattr(latency, "_time", lambda call: next(times))
    assert latency.measure_alone(lambda: None, 1) == (1000.0, 0.1)


def test_what_was_not_measured_alone_is_marked_and_replaces_nothing_better(findable, store, monkeypatch):
    loads(monkeypatch, itertools.repeat(0.5))
    busy = latency.measure_cost(store, findable, repeats=1)
    assert busy.alone is False
    assert cost_of(store, findable.run)["latency_alone"] is False
    loads(monkeypatch, itertools.repeat(0.05))
    alone = latency.measure_cost(store, findable, repeats=1)
    loads(monkeypatch, itertools.repeat(0.5))
    notes = []
    assert latency.measure_cost(store, findable, repeats=1, on_note=notes.append) == alone
    assert "was measured alone before" in notes[-1]
    assert cost_record.read(store, findable).latency == alone


def test_where_the_load_cannot_be_read_nothing_is_called_alone(findable, store, monkeypatch):
    loads(monkeypatch, itertools.repeat(None))
    found = latency.measure_cost(store, findable, repeats=1)
    assert (found.alone, found.busy_share) == (None, None)


def test_photos_that_are_gone_are_said(findable, store, photos):
    photos.rename(photos.with_name("elsewhere"))
    with pytest.raises(SegError, match=r"None of the photos of .* can be opened"):
        latency.measure_cost(store, findable)
    with pytest.raises(UsageError, match="at least 1"):
        latency.measure_cost(store, findable, repeats=0)


@pytest.mark.parametrize(
    "change",
    [{"parameters": "many"}, {"gflops": 1.0}, {"latency": {"ms": "fast"}}, {"latency": 3}, {"more": 1}],
)
def test_a_damaged_record_is_nothing_known_and_is_said(findable, store, change):
    latency.measure_cost(store, findable, repeats=1)
    file = store.cost_record(findable.run)
    record = json.loads(file.read_text()) | {"input_rule": None} | change
    record.pop("checksum")
    file.write_text(json.dumps(record))
    assert cost_record.read(store, findable) == cost_record.RunCost()
    assert cost_of(store, findable.run)["latency_ms"] is None
    assert [one.file for one in verify.find_damaged_files(store)] == [f"runs/{findable.run}/cost.json"]


# --- the load of the machine -----------------------------------------------------------------------------------------


def stat(monkeypatch, tmp_path, lines, own=(0.0, 0.0)) -> cpu_load.CpuLoad:
    """What `CpuLoad` says if /proc/stat holds these lines before and after."""
    lines, own = iter(lines), iter(own)
    monkeypatch.setattr(cpu_load, "_STAT", type("Stat", (), {"read_text": lambda _: next(lines)})())
    monkeypatch.setattr(cpu_load.os, "sysconf", lambda _: 100)
    monkeypatch.setattr(cpu_load.time, "process_time", lambda: next(own))
    with cpu_load.CpuLoad() as load:
        pass
    return load


def test_the_load_is_what_others_used_of_all_cpus(monkeypatch, tmp_path):
    """200 of 400 ticks were busy, of which 50 were this process's."""
    found = stat(monkeypatch, tmp_path, ["cpu 0 0 0 100 0 0 0 0 0 0", "cpu 100 50 50 250 50 0 0 0 9 9"], (1.0, 1.5))
    assert found.others == 0.375


def test_this_process_alone_is_no_load(monkeypatch, tmp_path):
    found = stat(monkeypatch, tmp_path, ["cpu 0 0 0 0 0 0 0 0", "cpu 100 0 0 100 0 0 0 0"], (0.0, 1.1))
    assert found.others == 0.0


@pytest.mark.parametrize("line", ["", "intr 1 2", "cpu x", "cpu 0 0 0 0 0 0 0 0"])
def test_a_load_that_cannot_be_read_is_unknown(monkeypatch, tmp_path, line):
    assert stat(monkeypatch, tmp_path, [line, line]).others is None


def test_the_run_that_is_counted_keeps_its_name(photos, store, quiet):
    """Counting changes neither the recipe nor the record of the run."""
    spec = find_model(Foreign(), classes=CLASSES)
    report = run(photos, store, replace(spec), resize=Resize("64x48"))
    assert store.run(report.run).parameters == spec.parameters
    assert "gflops" not in json.loads(store.run_record(report.run).read_text())
