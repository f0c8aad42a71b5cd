"""A small dataset and a net that a person can check by eye, and the command line at work on them in a forked child.

In: a folder. Out: photos, functions for `forks`, and what a store says in a form that two stores can be compared by.
"""

import json
import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from tests.conftest import COLOURS, fake_model
from tests.reliability.harness.faults import Point, intercept_calls

PHOTOS = 10
"""Pictures; a copy of one and a file that is no picture come beside them."""

BATCH, COMMIT_ROWS = 2, 4
"""Photos per forward pass and per part: small, so that a run of a second has many of both."""

AGAIN_AT_MOST = COMMIT_ROWS + BATCH
"""Photos that a kill may cost: those of the part that is not committed, and the batch at work."""


@dataclass(frozen=True)
class Scene:
    folder: Path

    @property
    def photos(self) -> Path:
        return self.folder / "photos"

    @property
    def weights(self) -> Path:
        return self.folder / "fake.safetensors"

    @property
    def passes(self) -> Path:
        """A byte for each photo that a net has seen."""
        return self.folder / "passes"

    def images_computed(self) -> int:
        return self.passes.stat().st_size if self.passes.exists() else 0

    def paint(self, photos: int = PHOTOS) -> "Scene":
        for index in range(photos):
            path = self.photos / ("cats", "dogs")[index % 2] / f"{index:04}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            image = Image.new("RGB", (64, 48), COLOURS["background"])
            image.paste(COLOURS[("cat", "dog")[index % 2]], (0, 0, 4 + index % 60, 4 + index // 60))
            image.save(path)
        shutil.copyfile(self.photos / "cats" / "0000.png", self.photos / "dogs" / "copy.png")
        (self.photos / "cats" / "broken.jpg").write_bytes(b"\xff\\xd8\xff no picture")
        return self

    def masks(self) -> Path:
        """As people, or another program, draw them: of each picture, a little smaller than the net sees it."""
        for path in sorted(self.photos.glob("*/0*.png")):
            mask = Image.new("L", (64, 48), 0)
            mask.paste(8 if path.parent.name == "cats" else 12, (0, 0, 9, 9))
            target = self.folder / "masks" / path.relative_to(self.photos)
            target.parent.mkdir(parents=True, exist_ok=True)
            mask.save(target)
        return self.folder / "masks"

    def run(self, store: Path, *more: str) -> list[str]:
        """The arguments of the ordinary command."""
        return ["run", str(self.photos), "--store", str(store), "--model", "fake", *_RUN, *more]

    def command(
        self, arguments: Sequence[str], *, point: Point | None = None, slow: float = 0.0, below: Path | None = None
    ) -> Callable[[], int]:
        """For a child: the command line with these arguments, harmed at this point (in files below this folder)."""

        def work() -> int:
            self.prepare_child(slow)
            from seglib.cli import main

            if point is not None:
                intercept_calls(point, below or self.folder)
            return main.main(list(arguments))

        return work

    def prepare_child(self, slow: float = 0.0) -> None:
        """In a child: make `fake` a model, parts small, and count what nets see."""
        import torch

        from seglib.inference import predictor, thread_pool
        from seglib.models import registry
        from seglib.store import pair_counts, writer

        torch.set_num_threads(1)
        registry.MODELS["fake"] = registry.MODELS.get("fake") or fake_model(self.weights)
        writer.COMMIT_ROWS = pair_counts.COMMIT_IMAGES = COMMIT_ROWS
        thread_pool.MAX_THREADS = 1
        passes = os.open(self.passes, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        real = predictor.predict_batch

        def counted(images: Any, *rest: Any) -> Any:
            time.sleep(slow)
            os.write(passes, b"." * len(images))
            return real(images, *rest)

        predictor.predict_batch = counted


_RUN = ("--workers", "0", "--batch-size", str(BATCH), "--precision", "fp32", "--device", "cpu")

STOPS = {signal.SIGTERM: (143, "Terminated"), signal.SIGINT: (130, "Stopped")}
"""Signal -> exit code, and the word in its sentence."""


def content(path: Path) -> dict[str, Any]:
    """What a store holds, apart from times and names that must differ; two equal ones hold the same."""
    import hashlib

    from seglib.fileio import parquet_parts
    from seglib.store import pair_counts, tags
    from seglib.store.schemas import stats_schema
    from seglib.store.store import Store

    store, found = Store(path), {}
    found["table"] = store.table().to_csv(index=False)
    found["failures"] = store.failures().to_csv(index=False)
    for dataset in store.datasets():
        found[f"files {dataset.name}"] = store.files(dataset).drop(columns="scan").to_csv(index=False)
    for run in store.runs():
        table = parquet_parts.keep_newest(
            parquet_parts.read(store.stats_folder(run), stats_schema(run.classes)), ["image_id"]
        )
        found[run.run] = table.to_pandas().sort_values("image_id").to_csv(index=False)
    for folder, schema, key in pair_counts.part_folders(store):
        frame = parquet_parts.keep_newest(parquet_parts.read(folder, schema), key).to_pandas()
        found[folder.relative_to(path).as_posix()] = frame.sort_values(list(key)).to_csv(index=False)
    found["tags"] = tags.tags_by_image(store).sort_index().to_csv()
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path).as_posix()
        if file.suffix in (".png", ".jpg", ".zip"):
            found[_without_digest(file, path)] = hashlib.sha256(file.read_bytes()).hexdigest()
        elif file.name == "run.json":
            about = json.loads(file.read_bytes())
            found[name] = json.dumps({key: about[key] for key in ("run", "model", "classes", "recipe")})
    found["files"] = sorted(_without_digest(file, path) for file in path.rglob("*") if not file.is_dir())
    found["folders"] = sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_dir())
    return found


def _without_digest(file: Path, store: Path) -> str:
    name = "part" if file.name.startswith("part-") else "pack" if file.name.startswith("pack-") else file.name
    return (file.parent / name).relative_to(store).as_posix()


def differences(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """The parts of two contents that are not equal, with how."""
    names = [name for name in {**expected, **found} if found.get(name) != expected.get(name)]
    return [f"{name}: {_apart(found.get(name), expected.get(name))}" for name in names]


def _apart(found: Any, expected: Any) -> str:
    if isinstance(found, list) and isinstance(expected, list):
        more, less = Counter(found) - Counter(expected), Counter(expected) - Counter(found)
        return f"beside it {sorted(more.elements())}, missing {sorted(less.elements())}"
    return f"{found!r:.400} instead of {expected!r:.400}"
