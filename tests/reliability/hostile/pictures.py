"""Hostile pictures: each file ends as one row or one failure, in bounded time and memory, and no worker is lost.

In: the files of `hostile_pictures`. The whole run is real, with its decoding workers; only the net is a fake one.
"""

import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pandas as pd

import seglib
from dashboard.workers.predictor import Predictor
from dashboard.workers.uploads import MAX_PHOTOS, accept_files
from seglib.annotations.options import MaskOptions
from seglib.annotations.reader import MaskFolder
from seglib.annotations.reading import Reading
from seglib.data.image import FAILURE_REASONS
from seglib.errors import BadImage, DatasetError
from seglib.masks import png
from seglib.models.registry import DEFAULT_MODEL
from seglib.pipeline import session
from seglib.store.store import Store
from tests.conftest import ROOT, SAMPLE, fake_model
from tests.reliability.harness.ledger import Campaign, CampaignResult
from tests.reliability.hostile import hostile_pictures

WORKERS = 2
MOST_MEGABYTES = 4096 + 200
"""What `preprocess.MAX_MEMORY` grants, and what a worker holds without a picture."""


def fuzzed(tries: int, seed: int, folder: Path) -> CampaignResult:
    """Mutated files, bombs and endless ones in one run with the real decoding workers."""
    photos = folder / "photos"
    by_hand = hostile_pictures.made()
    _write(photos, [*by_hand.items(), *hostile_pictures.mutated(tries - len(by_hand), seed)])
    store = Store.create(folder / "store")
    with WorkerWatch() as workers:
        report = seglib.run(
            photos, store, fake_model(folder / "fake.safetensors"), options=session.RunOptions(workers=WORKERS)
        )
    rows, reasons = _outcomes(store, photos)
    assert (report.images, report.computed + report.reused, report.failed) == (tries, rows, tries - rows)
    assert len(workers.peak) == WORKERS, f"{len(workers.peak) - WORKERS} workers were lost"
    again = seglib.run(photos, store, fake_model(folder / "fake.safetensors"))
    assert (again.images, again.computed, again.failed) == (tries, 0, report.failed)
    return CampaignResult(
        tries, f"{rows:,} rows, {_describe_failures(reasons)}; {workers.summary()}; a second run opened no file"
    )


def whole(tries: int, seed: int, folder: Path) -> CampaignResult:
    """Mutated files through `seglib run` as it is, with the embedded net."""
    photos = folder / "photos"
    _write(photos, hostile_pictures.mutated(tries, seed + 1))
    command = [sys.executable, "-W", "error", "-m", "seglib", "run", str(photos), "--store", str(folder / "store")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert "Decod" not in done.stderr, "a decoder wrote to the terminal"
    rows, reasons = _outcomes(Store(folder / "store"), photos)
    assert rows + sum(reasons.values()) == tries
    return CampaignResult(tries, f"{rows:,} rows, {_describe_failures(reasons)}; exit code 0, no traceback, no warning")


def largest(tries: int, _seed: int, folder: Path) -> CampaignResult:
    """The largest pictures that are allowed, one worker after the other: the most memory that any file takes."""
    photos = folder / "photos"
    _write(photos, list(hostile_pictures.largest())[:tries])
    store = Store.create(folder / "store")
    with WorkerWatch() as workers:
        report = seglib.run(
            photos, store, fake_model(folder / "fake.safetensors"), options=session.RunOptions(workers=1)
        )
    rows, reasons = _outcomes(store, photos)
    assert (report.images, rows) == (tries, tries), reasons
    assert len(workers.peak) == 1
    return CampaignResult(tries, f"{rows} rows of 89 million pixels each; {workers.summary()}")


def uploads(tries: int, seed: int, folder: Path) -> CampaignResult:
    """Photos on Try: what is accepted of them goes to the real process with the embedded net."""
    files = [*hostile_pictures.made().items(), *hostile_pictures.mutated(tries, seed + 2)][:tries]
    answered: Counter[str] = Counter()
    asked = Predictor()
    try:
        asked.predict((SAMPLE / "cats" / "siamese.jpg").read_bytes(), model=DEFAULT_MODEL)
        process = asked._process
        for start in range(0, tries, MAX_PHOTOS + 1):  # one more at a time than is allowed
            photos, notes = accept_files(files[start : start + MAX_PHOTOS + 1])
            answered["over the limit"] += len(notes)
            assert len(photos) <= MAX_PHOTOS
            for photo in photos:
                try:
                    asked.predict(photo.data, model=DEFAULT_MODEL)
                    answered["segmented"] += 1
                except BadImage as error:
                    assert error.reason in FAILURE_REASONS, error  # noqa: PT017 - one of two good ends
                    answered["refused"] += 1
        assert asked._process is process, "the process was lost"
    finally:
        asked.close()
    assert sum(answered.values()) == tries
    told = ", ".join(f"{count} {what}" for what, count in answered.items())
    return CampaignResult(tries, f"{told}; the model process survived")


def masks(tries: int, seed: int, folder: Path) -> CampaignResult:
    """Masks for `evaluate` and `import-masks`: each is a mask of indices or one sentence."""
    sound = png.encode_index_png(np.arange(48, dtype=np.uint8).reshape(6, 8) % 21)
    files = [(name, data) for name, data in hostile_pictures.made().items() if name.endswith(".png")]
    files += [(f"{at}.png", data) for at, (_, data) in enumerate(hostile_pictures.mutated(tries - len(files), seed))]
    chance = np.random.default_rng(seed)
    for at in range(len(files) // 2, len(files)):  # and the format that is expected
        broken = bytearray(sound)
        for place in chance.integers(0, len(broken), chance.integers(1, 6)):
            broken[place] = chance.integers(0, 256)
        files[at] = (files[at][0], bytes(broken))
    _write(folder, files)
    said: Counter[str] = Counter()
    reading = Reading(format="index", classes=tuple(f"class {index}" for index in range(255)))
    masks = MaskFolder(folder, MaskOptions(), reading, pd.DataFrame())
    for name, _ in files:
        try:
            mask = masks.read(name, (0, 0), any_size=True)
        except DatasetError as error:
            sentence = str(error)
            assert "\n" not in sentence, sentence
            said["sentence"] += 1
        else:
            assert (mask.dtype, mask.ndim) == (np.uint8, 2)
            said["mask"] += 1
    assert said["mask"]
    return CampaignResult(tries, f"{said['mask']:,} read as masks, {said['sentence']:,} refused with one sentence")


class WorkerWatch:
    """The decoding workers of this process while it is open, and the most memory that each of them held."""

    def __init__(self) -> None:
        self.peak: dict[int, int] = {}  # pid -> MB
        self._began = time.monotonic()
        self._others = set(_children())  # of other tests
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def summary(self) -> str:
        held = max(self.peak.values())
        assert held <= MOST_MEGABYTES, f"a worker held {held} MB"
        seconds = time.monotonic() - self._began
        lost = f"{len(self.peak)} of {len(self.peak)} workers survived" if len(self.peak) > 1 else "the worker survived"
        return f"{lost}, peak {held:,} MB, {seconds:.0f} s"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            for pid in set(_children()) - self._others:
                if (held := _peak_megabytes(pid)) is not None:
                    self.peak[pid] = max(held, self.peak.get(pid, 0))


def _children() -> list[int]:
    return [int(pid) for task in Path("/proc/self/task").glob("*/children") for pid in task.read_text().split()]


def _peak_megabytes(pid: int) -> int | None:
    """None for a process that decodes nothing, or is gone."""
    try:
        if b"spawn_main" not in Path(f"/proc/{pid}/cmdline").read_bytes():
            return None
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return next((int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM")), None)
    except OSError:
        return None


def _write(folder: Path, files: object) -> None:
    for name, data in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _outcomes(store: Store, photos: Path) -> tuple[int, Counter[str]]:
    """(rows, failures by reason): each file is exactly one of the two, and each row has its statistics and its mask."""
    (data_set,) = store.datasets()
    (run,) = store.runs()
    files: pd.DataFrame = store.files(data_set)
    there = sorted(path.relative_to(photos).as_posix() for path in photos.rglob("*") if path.is_file())
    assert files["path"].tolist() == there
    failed = files["reason"].notna()
    assert (failed ^ files["image_id"].notna()).all()
    assert set(files.loc[failed, "reason"]) <= set(FAILURE_REASONS)
    assert all("\n" not in detail and str(photos) not in detail for detail in files.loc[failed, "detail"])
    table = store.table([run.run])
    assert sorted(table["path"]) == sorted(files.loc[~failed, "path"])
    for image_id in table["image_id"].unique():
        assert store.mask_path(run.run, image_id).is_file()
        assert store.thumbnail_path(image_id).is_file()
    return int((~failed).sum()), Counter(files.loc[failed, "reason"])


def _describe_failures(reasons: Counter[str]) -> str:
    each = ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())
    return f"{sum(reasons.values()):,} failures ({each})"


SECTION = "Hostile images"
CAMPAIGNS = (
    Campaign(SECTION, "mutated files, bombs and endless files, real workers with a fake model", fuzzed, 5200, 65),
    Campaign(SECTION, "mutated files through `seglib run` with the bundled FCN", whole, 400, 6),
    Campaign(SECTION, "the largest images allowed, in a few hundred kB", largest, 6, 1),
    Campaign(SECTION, "mutated uploads on Try, more at once than the limit", uploads, 300, 25),
    Campaign(SECTION, "hostile masks for `evaluate` and `import-masks`", masks, 1000, 50),
)
