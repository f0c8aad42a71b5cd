"""Embed an image that is in no store, so that a store's images can be searched for similar ones."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from seglib.errors import SegError, UsageError
from seglib.inference import pooling, predictor
from seglib.inference.config import InferenceConfig
from seglib.masks import statistics
from seglib.models import loading
from seglib.models.registry import ModelSpec
from seglib.pipeline.reproduce import resolve_run_model
from seglib.similarity.embeddings import EmbeddingSource, VectorKind
from seglib.store.store import Store

if TYPE_CHECKING:
    from torch import Tensor


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
