"""What is computed, and what comes of it: plain data that can be pickled and sent to another process or machine."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from seglib.data.image import Extras
from seglib.data.photo_measures.measures import PhotoMeasures
from seglib.data.photo_root import PhotoRoot
from seglib.data.scan import Record
from seglib.inference.config import InferenceConfig
from seglib.inference.pooling import PooledFeatures
from seglib.models.registry import ModelSpec


@dataclass(frozen=True, kw_only=True)
class Job:
    """How the photos of a run are computed: the same for all of them."""

    root: PhotoRoot
    """Where the photos are."""
    model: ModelSpec
    settings: InferenceConfig
    embeddings: bool = True
    """Average the features of each image, if the model gives any."""
    batch_size: int | None = None
    """Images per forward pass; by default 4 on a CPU and 16 on a GPU."""
    workers: int | None = None
    """Number of decoding processes; by default one per core, at most 8. 0 decodes in the process that computes."""


class Photo(NamedTuple):
    """One photo to compute."""

    record: Record
    """Its row of the scan; `path` is relative to the job's root."""
    extras: Extras
    """What is made of it besides its mask."""


@dataclass(frozen=True)
class Task:
    """Some photos of a job."""

    job: Job
    photos: tuple[Photo, ...]


class ComputedMask(NamedTuple):
    png: bytes
    """The mask as an indexed PNG, of the grid's size."""
    row: Mapping[str, object]
    """Its statistics (`masks.statistics.stats_row`)."""
    embedding: PooledFeatures | None


class PhotoResult(NamedTuple):
    """A photo that was read."""

    record: Record
    image_id: str
    width: int
    height: int
    """Size of the photo in pixels, upright."""
    thumbnail: bytes
    """JPEG; empty if not asked for."""
    measures: PhotoMeasures | None
    """None if not asked for."""
    mask: ComputedMask | None
    """None if a photo with the same content has it: one that was computed before, or that comes before in this job."""


class PhotoFailure(NamedTuple):
    """A photo that cannot be read."""

    record: Record
    reason: str
    """A key of `data.image.FAILURE_REASONS`."""
    detail: str
    """One sentence."""


Result = PhotoResult | PhotoFailure
