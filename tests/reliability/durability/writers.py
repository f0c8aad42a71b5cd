"""Campaigns: several processes that write to one store at once, and readers while they do.

Readers are the library and what the dashboard's pages ask; whatever they see must be whole.
"""

import random
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.reliability.harness.forks import ForkedProcess, call_forked, in_own_process, run_forked
from tests.reliability.harness.ledger import Campaign, CampaignResult
from tests.reliability.harness.scene import BATCH, PHOTOS, Scene, content, differences

READERS = 10


def two_writers(tries: int, seed: int, folder: Path) -> CampaignResult:
    """Two commands at once over one store: the same run, two runs, a run and a comparison, tags, pruning."""
    chance = random.Random(seed)
    scene = Scene(folder).paint()
    prepared = folder / "prepared"
    for resize in ("64x48", "32x32"):
        assert run_forked(scene.command(scene.run(prepared, "--resize", resize)), folder).code == 0
    runs = sorted(path.name for path in prepared.glob("runs/*"))
    duels: dict[str, tuple[Path | None, list[str], list[str]]] = {
        "the same run": (None, scene.run(folder)[:2], scene.run(folder)[:2]),
        "two runs": (None, ["run", str(scene.photos)], ["run", str(scene.photos), "--resize", "32x32"]),
        "run and prune": (prepared, ["run", str(scene.photos), "--resize", "48x48"], ["prune"]),
        "run and removal of another run": (prepared, ["run", str(scene.photos)], ["prune", "--run", runs[0]]),
        "the same comparison": (prepared, ["compare", "--runs", *runs], ["compare", "--runs", *runs]),
        "two tags": (prepared, ["tag", "a", "--where", "label=cats"], ["tag", "b", "--where", ""]),
    }
    kinds: Counter[str] = Counter()
    refused = 0
    for index in range(tries):
        kind = list(duels)[index % len(duels)]
        before, *both = duels[kind]
        stores = [_copy(before, folder / name) for name in ("together", "one_by_one")]
        told = [[_with_store(one, store) for one in both] for store in stores]
        children = []
        for one in told[0]:
            children.append(ForkedProcess(scene.command(one, slow=0.02), folder))
            time.sleep(chance.uniform(0, 0.15))
        ended = [child.wait() for child in children]
        for one, end in zip(told[0], ended, strict=True):
            if end.code:  # only what would take a run's rows away waits for another day
                assert one[0] == "prune", end
                assert len(end.stderr_lines) == 1, end
                refused += 1
                _assert_succeeds(scene, ["prune", "--store", str(stores[0])])  # the run itself was removed before
        for one in told[1]:
            _assert_succeeds(scene, one)
        for store in stores:  # merges what two that were at it left apart
            _assert_succeeds(scene, _with_store(both[0], store))
        found, expected = (call_forked(lambda s=store: content(s), folder) for store in stores)
        assert not (apart := differences(found, expected)), (kind, apart)
        kinds[kind] += 1
    told_kinds = ", ".join(f"{name} {n}" for name, n in kinds.items())
    return CampaignResult(
        tries,
        f"{told_kinds}: each store equal to that of running them in sequence, no row twice; {refused} prunes "
        "were refused with one sentence while a run was active",
    )


def _assert_succeeds(scene: Scene, told: list[str]) -> None:
    ended = run_forked(scene.command(told), scene.folder)
    assert ended.code == 0, (told, ended)


def _copy(before: Path | None, path: Path) -> Path:
    shutil.rmtree(path, ignore_errors=True)
    if before is not None:
        shutil.copytree(before, path)
    return path


def _with_store(told: list[str], store: Path) -> list[str]:
    run = ["--model", "fake", "--workers", "0", "--batch-size", str(BATCH), "--precision", "fp32", "--device", "cpu"]
    return [*told, *(run if told[0] == "run" else []), "--store", str(store)]


def readers(tries: int, seed: int, folder: Path) -> CampaignResult:
    """Ten processes read all the time while runs, comparisons, prunings and removals go on: only whole rows."""
    scene = Scene(folder).paint()
    store, stop = folder / "store", folder / "stop"
    assert run_forked(scene.command(scene.run(store)), folder).code == 0
    first = next(store.glob("runs/*")).name
    expected = call_forked(lambda: _rows(store, first), folder)
    children = [ForkedProcess(_reading(store, stop, first, expected, index), folder) for index in range(READERS)]
    commands = [
        ["run", str(scene.photos), "--resize", "32x32"],
        ["compare", "--runs", first, "other"],
        ["tag", "seen", "--where", "label=cats"],
        ["prune"],
        ["tag", "seen", "--where", "", "--remove"],
        ["run", str(scene.photos), "--verify"],
        ["prune", "--run", "other"],
    ]
    done = 0
    try:
        for index in range(tries):
            told = commands[index % len(commands)]
            other = [path.name for path in store.glob("runs/*") if path.name != first]
            told = [other[0] if word == "other" else word for word in told]
            ended = run_forked(scene.command(_with_store(told, store)), folder)
            assert ended.code == 0, (told, ended)
            done += 1
    finally:
        stop.touch()
        ends = [child.wait() for child in children]
    assert all(end.code == 0 for end in ends), [end.stderr_lines for end in ends if end.code]
    looked = sum(end.result["looks"] for end in ends)
    return CampaignResult(
        looked,
        f"{READERS} readers (library and dashboard queries) during {done} commands: {looked:,} reads, every "
        "table complete, no exception",
    )


def _rows(store: Path, run: str) -> str:
    from seglib.store.store import Store

    text: str = Store(store).table([run], with_tags=False).to_csv(index=False)
    return text


def _reading(store: Path, stop: Path, first: str, expected: str, index: int) -> Callable[[], dict[str, int]]:
    """Odd ones are pages of the dashboard, even ones scripts."""

    def work() -> dict[str, int]:
        looks = 0
        while not stop.exists():
            (_as_a_page if index % 2 else _as_a_script)(store, first, expected)
            looks += 1
        return {"looks": looks}

    return work


def _as_a_script(path: Path, first: str, expected: str) -> None:
    from seglib.maintenance import status
    from seglib.store import pair_counts, tags
    from seglib.store.store import Store

    store = Store(path)
    assert store.table([first], with_tags=False).to_csv(index=False) == expected
    for run in store.runs():
        assert len(store.stats(run)) <= PHOTOS
    every = store.table()
    assert not every.duplicated(["path", "run"]).any()
    for image_id in every.loc[every["run"] == first, "image_id"]:
        assert store.mask(first, image_id).shape == (48, 64)
    store.failures()
    tags.tags_by_image(store)
    pair_counts.version(store)
    status.read_status(store)


def _as_a_page(path: Path, first: str, expected: str) -> None:
    """What a page asks at each rerun, without Streamlit's caches."""
    from dashboard.queries.source import RunSource, open_store, unreadable_runs
    from seglib.query.filters import Filters, select

    store, version, runs = open_store(path)
    assert version
    assert first in {run.run for run in runs}
    source = RunSource(str(path), version, first)
    assert source.store().table([first], with_tags=False).to_csv(index=False) == expected
    assert len(select(store.table([first]), Filters.decode("label=cats"))) == PHOTOS // 2
    unreadable_runs(store)
    store.locate_images(store.table([first])["image_id"].tolist()[:3])
    for run in runs:
        store.count_rows(run)


SECTION = "Concurrent access"

CAMPAIGNS: tuple[Campaign, ...] = (
    Campaign(SECTION, "two processes write to one store", in_own_process(two_writers), 24, 2),
    Campaign(SECTION, "ten readers while others write", in_own_process(readers), 14, 2),
)
