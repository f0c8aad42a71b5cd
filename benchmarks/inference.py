"""Measures our pipeline against the tutorial's loop and the bare forward pass: same photos, same weights, one process.

    python benchmarks/inference.py PHOTOS [--model fcn_resnet50] [--resize 224] [--limit 64] [--rounds 5] [--random]

Interleaved: in each round every contestant sees all photos once; printed are images/s of the median round, the ratio
to the tutorial's loop and to the bare forward pass of the same precision, and the pixel agreement with fp32.

- tutorial: what the FCN tutorials do: a data loader with batches of 4 in fp32, softmax, argmax, 21 boolean masks.
- bare: the limit: forward pass, upsampling to the grid and argmax on batches that already lie in memory.
- pipeline: `seglib run`, from decoding to the committed part, in a store of its own each round; the start of the
  decoding processes and the load of the net are not timed for any contestant.

`--random` takes seeded random weights where the official ones are not at hand: speed does not depend on them.
"""

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from seglib import dataset, engine, models, nets, overlay, pipeline, preprocess
from seglib.engine import PRECISIONS, Settings
from seglib.models import ModelSpec
from seglib.preprocess import Resize
from seglib.store import Store

Contestant = Callable[[], tuple[float, list[np.ndarray]]]
"""One round: (seconds, masks in the order of the photos, or none where they are not kept)."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--model", default="fcn_resnet50")
    parser.add_argument("--resize", type=Resize, default=Resize("224"))
    parser.add_argument("--limit", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--random", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        chosen = chosen_photos(arguments.photos, arguments.limit, Path(folder))
        spec = models.MODELS[arguments.model]
        spec = with_random_weights(spec, Path(folder)) if arguments.random else spec
        contestants: dict[str, Contestant] = {"tutorial fp32": tutorial(chosen, spec, arguments)}
        for precision in PRECISIONS:
            contestants[f"bare {precision}"] = bare(chosen, spec, precision, arguments)
            contestants[f"pipeline {precision}"] = our_pipeline(chosen, spec, precision, arguments, Path(folder))
        report(contestants, len(list(chosen.iterdir())), arguments)


def report(contestants: dict[str, Contestant], photos: int, arguments: argparse.Namespace) -> None:
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    masks: dict[str, list[np.ndarray]] = {}
    for round_ in range(arguments.rounds + 1):
        for name, contestant in contestants.items():
            took, masks[name] = contestant()
            if round_:  # the first warms up
                seconds[name].append(took)
    speed = {name: photos / statistics.median(values) for name, values in seconds.items()}
    print(
        f"{arguments.model}, {arguments.resize.text}, {photos} photos, {arguments.rounds} rounds, "
        f"{arguments.device}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    print("| | images/s | ms/image | times the tutorial | of bare | pixels as fp32 % |\n|---|---|---|---|---|---|")
    for name, value in speed.items():
        limit = speed.get(f"bare {name.split()[-1]}", value)
        agreement = [(a == b).mean() for a, b in zip(masks[name], masks["bare fp32"], strict=True)]
        print(
            f"| {name} | {value:.1f} | {1000 / value:.1f} | {value / speed['tutorial fp32']:.2f} | "
            f"{value / limit:.2f} | {100 * np.mean(agreement):.2f} |"
        )


def chosen_photos(photos: Path, limit: int, folder: Path) -> Path:
    """A folder with copies of `limit` photos, spread over the data set."""
    paths = dataset.scan(photos)["path"]
    chosen = folder / "photos"
    chosen.mkdir()
    for index, path in enumerate(paths.iloc[:: max(1, len(paths) // limit)].iloc[:limit]):
        shutil.copy(photos / path, chosen / f"{index:04}{Path(path).suffix}")
    return chosen


def with_random_weights(spec: ModelSpec, folder: Path) -> ModelSpec:
    torch.manual_seed(0)
    file = folder / "random.pth"
    torch.save(spec.build(len(spec.classes)).state_dict(), file)
    return replace(spec, weights=str(file), sha256="", source="file")


def tutorial(photos: Path, spec: ModelSpec, arguments: argparse.Namespace) -> Contestant:
    from torch.utils.data import DataLoader, Dataset
    from torchvision.transforms import v2

    width, height = arguments.resize.grid_wh(500, 375)  # the tutorials stretch to one size
    transform = v2.Compose(
        [
            v2.Resize((height, width)),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(spec.mean, spec.std),
        ]
    )

    class Photos(Dataset):
        paths = sorted(photos.iterdir())

        def __len__(self) -> int:
            return len(self.paths)

        def __getitem__(self, index: int) -> torch.Tensor:
            with Image.open(self.paths[index]) as image:
                return transform(image.convert("RGB"))

    net = models.load(spec).to(arguments.device)

    def once() -> tuple[float, list[np.ndarray]]:
        masks, areas, started = [], [], time.perf_counter()
        for batch in DataLoader(Photos(), batch_size=4):
            with torch.no_grad():
                probabilities = torch.nn.functional.softmax(net(batch.to(arguments.device))["out"], dim=1)
            classes = probabilities.argmax(dim=1)
            boolean = torch.stack([classes == index for index in range(len(spec.classes))], dim=1)
            areas.append(boolean.sum((2, 3)).cpu())
            masks += list(classes.byte().cpu().numpy())
        return time.perf_counter() - started, masks

    return once


def bare(photos: Path, spec: ModelSpec, precision: str, arguments: argparse.Namespace) -> Contestant:
    settings = Settings(resize=arguments.resize, precision=precision, device=arguments.device)
    net = nets.prepared(models.load(spec), engine._dtype(precision), spec.fp32_blocks).to(arguments.device)
    images = [preprocess.read_photo(p, arguments.resize, thumbnail=False).image for p in sorted(photos.iterdir())]
    size = arguments.batch_size
    batches = [
        engine._normalised(np.stack(images[i : i + size]), spec, settings, arguments.device)
        for i in range(0, len(images), size)
    ]

    def once() -> tuple[float, list[np.ndarray]]:
        masks, started = [], time.perf_counter()
        with torch.inference_mode():
            for batch in batches:
                masks.append(engine._upsampled(net(batch).float(), batch.shape[2:]).argmax(1).byte().cpu())
        return time.perf_counter() - started, [mask.numpy() for part in masks for mask in part]

    return once


def our_pipeline(
    photos: Path, spec: ModelSpec, precision: str, arguments: argparse.Namespace, folder: Path
) -> Contestant:
    def once() -> tuple[float, list[np.ndarray]]:
        shutil.rmtree(folder / "store", ignore_errors=True)
        store = Store.create(folder / "store")
        options = pipeline.Options(batch_size=arguments.batch_size, device=arguments.device)
        done = pipeline.run(photos, store, spec, resize=arguments.resize, precision=precision, options=options)
        table = store.table().sort_values("path")
        masks = [overlay.read_index_png(store.mask_path(done.run, i).read_bytes()) for i in table["image_id"]]
        return done.seconds, masks

    return once


if __name__ == "__main__":
    main()
