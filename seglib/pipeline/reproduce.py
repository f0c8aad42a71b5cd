"""Recover a run's model and settings from its record, so that its masks and embeddings can be reproduced exactly.

Input: a `Run` of the store. Output: its `ModelSpec` and `InferenceConfig`, or a `SegError` that says why they are
unavailable. Reads and hashes the weights file; does not import torch and downloads nothing, except to embed an image.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from seglib.adapters.lookup import find_requested
from seglib.data.resize import Resize
from seglib.errors import SegError, UsageError, WeightsError
from seglib.inference import config, pooling, predictor
from seglib.inference.config import InferenceConfig
from seglib.masks import statistics
from seglib.models import loading, registry
from seglib.models.adapter import ModelRequest
from seglib.models.registry import ModelSpec
from seglib.pipeline import quantization
from seglib.similarity.embeddings import EmbeddingSource, VectorKind
from seglib.store.records import Run
from seglib.store.store import Store

if TYPE_CHECKING:
    from torch import Tensor


def resolve_run_model(store: Store, run: Run, *, device: str = "auto") -> tuple[ModelSpec, InferenceConfig]:
    """The model and settings that produced this run.

    Raises `SegError` if they cannot be recovered: imported masks have no model, and neither has a run of an object in
    memory, or one that an older version made from a user's file. Also raised if the weights are missing or differ, or
    if another version of the program made the run.
    """
    if run.weights_sha256 is None or run.precision is None:
        raise SegError(f"The masks of {run.run} were imported: no model of this program made them.")
    spec = _find_model(run)
    if spec.adapter is None and not spec.path.exists():
        raise WeightsError(f"The weights of {run.model} are not on this machine: run the model once to fetch them.")
    settings = InferenceConfig(
        resize=Resize(run.resize), precision=run.precision, device=config.device_for(spec, device)
    )
    if run.precision == "int8":
        settings = replace(settings, quantised=quantization.int8_model_folder(store, spec, settings.resize))
    recipe = config.make_run_config(spec, settings)
    if recipe.weights_sha256 != run.weights_sha256:
        raise WeightsError(
            f"{run.run} was made with other weights than those of {run.model} on this machine "
            f"(SHA-256 begins with {run.weights_sha256[:8]}, here {recipe.weights_sha256[:8]})."
        )
    if recipe.run_name != run.run:
        raise SegError(f"{run.run} was made by another version of this program: run again to bring it up to date.")
    return spec, settings


def resolve_source_model(store: Store, source: EmbeddingSource) -> tuple[ModelSpec, InferenceConfig]:
    """The model whose embeddings these are. Raises `SegError` if it is not known, or not at hand."""
    if not source.is_run:
        raise SegError(
            f"The embeddings {source.name} were brought along, and the model that made them is not known: search for a "
            "photo of the store, or take the embeddings of a run as `source`."
        )
    return resolve_run_model(store, store.run(source.name))


def embed_image(
    image: Image, spec: ModelSpec, settings: InferenceConfig, kind: VectorKind = "global"
) -> NDArray[np.float32]:
    """An upright RGB image -> float32 (D,), as in the embeddings of a run of this model with these settings.

    Loads the model at the first call. Raises `UsageError` if the model gives no features, or if the image has no class
    besides the background and `kind` is `class`.
    """
    loading.ensure_weights(spec)
    pixels, grid_wh = predictor.prepare_image(image, spec, settings)
    features: list[Tensor] = []
    masks, _ = predictor.predict_batch(pixels[None], spec, settings, grid_wh, features)
    if not features:
        raise UsageError(f"{spec.name} gives no embeddings: take another model, or embeddings that you bring along.")
    dominant = statistics.dominant_class(statistics.count_pixels(masks[0], len(spec.classes)), spec.classes)
    (pooled,) = pooling.pool_dominant(features, masks, [dominant], spec.classes)
    if kind == "class" and not pooled.region.any():
        raise UsageError(
            f"{spec.name} sees nothing but background in this photo: search by the whole photo, `kind` global."
        )
    return pooled.whole if kind == "global" else pooled.region


def _find_model(run: Run) -> ModelSpec:
    if run.request:
        try:
            request = ModelRequest.from_record(run.request)
        except TypeError:
            raise SegError(f"{run.run} was made by a newer version of this program: upgrade it.") from None
        try:
            return find_requested(request)
        except SegError as error:
            raise WeightsError(f"The model of {run.run} cannot be loaded again: {error}") from None
    if run.model in registry.TRAINABLE and run.model not in registry.MODELS:
        raise WeightsError(f"{run.run} was made from a user's own checkpoint, whose path the store does not keep.")
    if '"kind": "python"' in str(run.recipe.get("code")):
        raise SegError(f"{run.run} was made from an object in memory: continue it by seglib.run with that object.")
    if run.model not in registry.MODELS:
        raise SegError(f"{run.run} was made by the model {run.model!r}, which this program does not know.")
    is_from_hub = run.recipe.get("code") == registry.HUB_REPOSITORY
    return registry.find_model_spec(run.model, source="hub" if is_from_hub else "torchvision")
