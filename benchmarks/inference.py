"""Measures our pipeline against the tutorial's loop and the bare forward pass: same photos, same weights, one process.

    python benchmarks/inference.py PHOTOS [--model fcn_resnet50 ...] [--resize 224] [--limit 64] [--rounds 5] [--random]
    python benchmarks/inference.py PHOTOS --model fcn_mobilenet_v2 net.onnx net.xml --classes voc.txt --net-side 320

A model is anything that `seglib run` takes. Interleaved: in each round every contestant sees all photos once; printed
are images/s of the median round, the ratio to the first contestant and to the bare forward pass of the same model and
precision, the peak memory of this process (without the decoding processes), and against the masks of the first bare
forward pass the pixel agreement and the mean IoU over the classes present.
Last it prints what measuring a mask (class, confidence, entropy, margin, pixels, blobs) costs beside the bf16 forward.

- tutorial (torch modules only): what the FCN tutorials do: a data loader with batches of 4 in fp32, softmax, argmax,
  21 boolean masks. It stretches each photo to one size; where the net sees each photo in its own aspect, the batches
  are of 1.
- bare: the limit: forward pass, upsampling to the grid and argmax on batches that already lie in memory, of one shape.
- pipeline: `seglib run`, from decoding to the committed part, in a store of its own each round; the start of the
  decoding processes and the load of the net are not timed for any contestant.

torch's threads wait for each other as in `seglib run` (GOMP_SPINCOUNT), for all contestants.
`--random` takes seeded random weights where the official ones are not at hand: speed does not depend on them.
"""

import argparse
import contextlib
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from seglib.adapters import lookup
from seglib.cli import common
from seglib.data import scan
from seglib.data.image import decode, read_bytes
from seglib.data.resize import Resize
from seglib.errors import UsageError
from seglib.inference import confidence, config, openvino_backend, predictor, torch_backend
from seglib.inference.config import PRECISIONS, InferenceConfig
from seglib.masks import png
from seglib.masks.statistics import stats_row
from seglib.models import loading, registry
from seglib.models.registry import ModelSpec
from seglib.pipeline import quantization, run, session
from seglib.store.store import Store

Contestant = Callable[[], tuple[float, list[np.ndarray]]]
"""One round: (seconds, masks in the order of the photos, or none where they are not kept)."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--model", nargs="+", default=["fcn_resnet50"])
    parser.add_argument("--classes", type=common.parse_classes, help="of models that name none")
    parser.add_argument("--net-side", type=int, help="short side of the input of all models, instead of their own")
    parser.add_argument("--resize", type=Resize, default=Resize("224"))
    parser.add_argument("--limit", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=available_precisions())
    parser.add_argument("--random", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        chosen = chosen_photos(arguments.photos, arguments.limit, Path(folder))
        contestants: dict[str, Contestant] = {}
        for name in arguments.model:
            spec = chosen_model(name, arguments, Path(folder))
            contestants |= contestants_of(spec, Path(name).name, chosen, arguments, Path(folder))
        report(contestants, len(list(chosen.iterdir())), arguments)
        if arguments.device == "cpu":
            print(f"\nMeasuring a mask: {milliseconds_of_measuring(chosen, spec, arguments):.1f} ms")


def chosen_model(name: str, arguments: argparse.Namespace, folder: Path) -> ModelSpec:
    if name in registry.MODELS:
        spec = registry.MODELS[name]
        spec = with_random_weights(spec, folder) if arguments.random else spec
    else:
        spec = lookup.find_model(name, classes=arguments.classes)
    return spec if arguments.net_side is None else replace(spec, net_side=arguments.net_side)


def contestants_of(
    spec: ModelSpec, name: str, chosen: Path, arguments: argparse.Namespace, folder: Path
) -> dict[str, Contestant]:
    contestants: dict[str, Contestant] = {}
    with contextlib.suppress(UsageError):  # it is no torch module
        contestants[f"{name} tutorial fp32"] = tutorial(chosen, spec, arguments)
    for precision in arguments.precisions:
        if precision in config.precisions_of(spec):
            settings = prepared_settings(chosen, spec, precision, arguments, folder)
            contestants[f"{name} bare {precision}"] = bare(chosen, spec, settings, arguments)
            contestants[f"{name} pipeline {precision}"] = our_pipeline(chosen, spec, precision, arguments, folder)
    return contestants


def available_precisions() -> list[str]:
    there = all(find_spec(name) is not None for name in openvino_backend.LIBRARIES)
    return [name for name in PRECISIONS if there or name != "int8"]


def report(contestants: dict[str, Contestant], photos: int, arguments: argparse.Namespace) -> None:
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    masks: dict[str, list[np.ndarray]] = {}
    memory: dict[str, int] = {}
    for round_ in range(arguments.rounds + 1):
        for name, contestant in contestants.items():
            forget_peak_memory()
            took, masks[name] = contestant()
            memory[name] = peak_memory_mb()
            if round_:  # the first warms up
                seconds[name].append(took)
    speed = {name: photos / statistics.median(values) for name, values in seconds.items()}
    print(
        f"{', '.join(arguments.model)}, {arguments.resize.text}, {photos} photos, {arguments.rounds} rounds, "
        f"{arguments.device}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    first, *_ = speed.values()
    reference = next(masks[name] for name in contestants if " bare " in name)
    print("| | images/s | ms/image | times the first | of bare | peak MB | equal pixels % | mIoU with the first % |")
    print("|---|---|---|---|---|---|---|---|")
    for name, value in speed.items():
        model, _, precision = name.rsplit(" ", 2)
        limit = speed.get(f"{model} bare {precision}", value)
        pairs = list(zip(masks[name], reference, strict=True))
        print(
            f"| {name} | {value:.1f} | {1000 / value:.1f} | {value / first:.2f} | "
            f"{value / limit:.2f} | {memory[name]:,} | {100 * np.mean([(a == b).mean() for a, b in pairs]):.4f} | "
            f"{100 * mean_iou(pairs):.2f} |"
        )


def mean_iou(pairs: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """Over all pixels, and the classes that either side has."""
    both = sum(np.bincount(256 * a.astype(int).ravel() + b.ravel(), minlength=65536) for a, b in pairs)
    confusion = np.reshape(both, (256, 256))
    union = confusion.sum(0) + confusion.sum(1) - np.diag(confusion)
    return float((np.diag(confusion)[union > 0] / union[union > 0]).mean())


def forget_peak_memory() -> None:
    """From here on `peak_memory_mb` is of what follows; see clear_refs in proc(5)."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_memory_mb() -> int:
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) // 1024


def prepared_settings(
    photos: Path, spec: ModelSpec, precision: str, arguments: argparse.Namespace, folder: Path
) -> InferenceConfig:
    """For int8, with the model calibrated; it stays in the store for the pipeline."""
    settings = InferenceConfig(resize=arguments.resize, precision=precision, device=arguments.device)
    if precision != "int8":
        return settings
    store = Store.create(folder / "store")
    options = session.RunOptions(limit=1, workers=0)
    run.run(photos, store, spec, resize=arguments.resize, precision=precision, options=options)
    return replace(settings, quantised=quantization.int8_model_folder(store, spec, arguments.resize))


def milliseconds_of_measuring(photos: Path, spec: ModelSpec, arguments: argparse.Namespace) -> float:
    """Median time from logits at the grid's size to a finished row, on one thread."""
    settings = InferenceConfig(resize=arguments.resize)
    took = []
    for path in sorted(photos.iterdir())[:32]:
        image, grid_wh = predictor.prepare_image(decode(read_bytes(path)), spec, settings)
        (grid,) = predictor._grid_outputs(image[None], spec, settings, grid_wh)
        logits = grid[0].flatten(1).numpy()
        started = time.perf_counter()
        mask, sure = confidence.summarise_numpy(logits, grid.shape[2:])
        stats_row(mask, spec.classes, sure)
        took.append(time.perf_counter() - started)
    return 1000 * statistics.median(took)


def chosen_photos(photos: Path, limit: int, folder: Path) -> Path:
    """A folder with copies of `limit` photos, spread over the data set."""
    paths = scan.scan(photos)["path"]
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

    sees = spec.input_resize(arguments.resize)
    same_size = sees.grid_wh(500, 375) == sees.grid_wh(375, 500)
    transform = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(spec.mean, spec.std)])

    class Photos(Dataset):
        paths = sorted(photos.iterdir())

        def __len__(self) -> int:
            return len(self.paths)

        def __getitem__(self, index: int) -> tuple[torch.Tensor, int, int]:
            with Image.open(self.paths[index]) as image:
                width, height = sees.grid_wh(*image.size)
                seen = v2.functional.resize(image.convert("RGB"), [height, width])
                return transform(seen), *arguments.resize.grid_wh(*image.size)

    net = loading.load(spec).to(arguments.device)

    def once() -> tuple[float, list[np.ndarray]]:
        masks, areas, started = [], [], time.perf_counter()
        for batch, (width, *_), (height, *_) in DataLoader(Photos(), batch_size=4 if same_size else 1):
            with torch.no_grad():
                logits = torch_backend.upsample(net(batch.to(arguments.device))["out"], (int(height), int(width)))
                probabilities = torch.nn.functional.softmax(logits, dim=1)
            classes = probabilities.argmax(dim=1)
            boolean = torch.stack([classes == index for index in range(len(spec.classes))], dim=1)
            areas.append(boolean.sum((2, 3)).cpu())
            masks += list(classes.byte().cpu().numpy())
        return time.perf_counter() - started, masks

    return once


def bare(photos: Path, spec: ModelSpec, settings: InferenceConfig, arguments: argparse.Namespace) -> Contestant:
    net = predictor._load_backend(spec, settings.precision, config.device_of(settings), settings.quantised)
    decoded = (decode(read_bytes(path)) for path in sorted(photos.iterdir()))
    pictures = [predictor.prepare_image(photo, spec, settings) for photo in decoded]
    stacks = group_batches(pictures, arguments.batch_size)
    if isinstance(net, torch_backend.TorchBackend):
        normalised = [net.normalise(stack) for _, stack, _ in stacks]  # int8 nets do this themselves

    def logits() -> Iterator[torch.Tensor]:
        if isinstance(net, torch_backend.TorchBackend):
            for batch in normalised:
                yield net._model(batch).float()
        else:
            for _, stack, _ in stacks:
                yield torch.cat(list(net(stack)))

    def once() -> tuple[float, list[np.ndarray]]:
        masks, started = [], time.perf_counter()
        with torch.inference_mode():
            for some, (_, _, grid_wh) in zip(logits(), stacks, strict=True):
                masks.append(torch_backend.upsample(some, grid_wh[::-1]).argmax(1).byte().cpu())
        seconds, places = time.perf_counter() - started, [at for places, _, _ in stacks for at in places]
        found = dict(zip(places, (mask.numpy() for part in masks for mask in part), strict=True))
        return seconds, [found[at] for at in range(len(pictures))]

    return once


def group_batches(
    pictures: list[tuple[np.ndarray, tuple[int, int]]], size: int
) -> list[tuple[list[int], np.ndarray, tuple[int, int]]]:
    """(places among the pictures, (B, H, W, 3), grid_wh) of at most `size` pictures of one shape and one grid each."""
    by_shape: dict[tuple[tuple[int, ...], tuple[int, int]], list[int]] = {}
    for at, (image, grid_wh) in enumerate(pictures):
        by_shape.setdefault((image.shape, grid_wh), []).append(at)
    return [
        (places[i : i + size], np.stack([pictures[at][0] for at in places[i : i + size]]), grid_wh)
        for (_, grid_wh), places in by_shape.items()
        for i in range(0, len(places), size)
    ]


def our_pipeline(
    photos: Path, spec: ModelSpec, precision: str, arguments: argparse.Namespace, folder: Path
) -> Contestant:
    def once() -> tuple[float, list[np.ndarray]]:
        for old in (folder / "store").glob("*"):
            if old.name != "int8":  # the calibrated model
                shutil.rmtree(old) if old.is_dir() else old.unlink()
        store = Store.create(folder / "store")
        options = session.RunOptions(batch_size=arguments.batch_size, device=arguments.device)
        done = run.run(photos, store, spec, resize=arguments.resize, precision=precision, options=options)
        table = store.table().sort_values("path")
        masks = [png.decode_index_png(store.mask_path(done.run, i).read_bytes()) for i in table["image_id"]]
        return done.seconds, masks

    return once


if __name__ == "__main__":
    if "GOMP_SPINCOUNT" not in os.environ:  # read when torch is imported
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | {"GOMP_SPINCOUNT": "10000"})
    main()
