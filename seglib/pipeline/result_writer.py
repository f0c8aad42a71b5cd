"""Write computed photos into a store, and count them: the way of every result from `seglib.compute` to its files."""

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

from seglib.compute.task import ComputedMask, PhotoFailure, PhotoResult, Result
from seglib.data.image import Extras
from seglib.data.image_ids import ImageIds
from seglib.data.photo_measures.exif import GpsPrecision
from seglib.data.scan import Record
from seglib.maintenance.verify import is_thumbnail_intact
from seglib.pipeline.planning import RunPlan, select_scan_fields
from seglib.store.photo_measures import rows as photo_measures
from seglib.store.store import Store
from seglib.store.writer import RunWriter


@dataclass
class RunProgress:
    """Counts so far, passed to `on_progress` after each image."""

    total: int
    run: str = ""
    precision: str = ""
    computed: int = 0
    reused: int = 0
    failed: int = 0

    @property
    def title(self) -> str:
        return f"{self.run} {self.precision}"

    @property
    def done(self) -> int:
        return self.computed + self.reused + self.failed


OnProgress = Callable[[RunProgress], None]


class ResultWriter:
    """Writes each image's result once, and a row for each of its files. `keep` is thread-safe.

    A mask that is there already, because the same photo or one with the same content was computed twice, is not written
    again.
    """

    def __init__(
        self,
        store: Store,
        writer: RunWriter,
        plan: RunPlan,
        progress: RunProgress,
        on_progress: OnProgress | None,
        *,
        gps: GpsPrecision,
        verify: bool,
    ) -> None:
        self._store, self._writer, self._verify, self._gps = store, writer, verify, gps
        self._computed_ids = plan.computed_ids
        self._measured = photo_measures.current_ids(store) if plan.to_decode.has_known_ids else ImageIds()
        self._claimed_ids = ImageIds()  # their results are stored, or are being
        self._stored_ids = ImageIds()
        self._waiting: dict[str, list[PhotoResult]] = {}  # files without a mask, until their image's is stored
        self._progress, self._on_progress = progress, on_progress
        self._lock, self._progress_lock = Lock(), Lock()

    def missing_extras(self, record: Record) -> Extras:
        """What the store lacks of a photo besides its mask."""
        image_id = record["image_id"]
        return Extras(
            thumbnail=image_id is None or not self._has_thumbnail(image_id),
            measures=None if image_id in self._measured else self._gps,
        )

    def keep(self, result: Result) -> None:
        if isinstance(result, PhotoFailure):
            record = select_scan_fields(result.record)
            self._writer.add_file(record, reason=result.reason, detail=result.detail)
            self.count(failed=1)
            return
        self._keep_measures(result)
        if result.mask is not None and self._claim(result.image_id):
            self._keep_mask(result, result.mask)
        else:
            self._keep_repeat(result)

    def is_stored(self, image_id: str) -> bool:
        """Whether the run has a result of this image."""
        return image_id in self._computed_ids or image_id in self._stored_ids

    def count(self, *, computed: int = 0, reused: int = 0, failed: int = 0) -> None:
        with self._progress_lock:
            self._progress.computed += computed
            self._progress.reused += reused
            self._progress.failed += failed
            if self._on_progress is not None:
                self._on_progress(self._progress)

    def _claim(self, image_id: str) -> bool:
        with self._lock:
            is_new = image_id not in self._computed_ids and image_id not in self._claimed_ids
            self._claimed_ids.add(image_id)
            return is_new

    def _keep_mask(self, result: PhotoResult, mask: ComputedMask) -> None:
        self._writer.add_result(result.image_id, mask.row, mask.png, result.thumbnail, mask.embedding)
        self._keep_file(result)
        self.count(computed=1)
        with self._lock:
            self._stored_ids.add(result.image_id)
            waiting = self._waiting.pop(result.image_id, [])
        for repeat in waiting:
            self._keep_file(repeat)
            self.count(reused=1)

    def _keep_repeat(self, result: PhotoResult) -> None:
        """Add the file of an image whose mask is stored, now or later: its row must not precede the mask's."""
        if result.thumbnail and not self._has_thumbnail(result.image_id):
            self._writer.add_thumbnail(result.image_id, result.thumbnail)
        with self._lock:
            if not self.is_stored(result.image_id):
                self._waiting.setdefault(result.image_id, []).append(result)
                return
        self._keep_file(result)
        self.count(reused=1)

    def _keep_measures(self, result: PhotoResult) -> None:
        with self._lock:
            if result.measures is None or result.image_id in self._measured:
                return
            self._measured.add(result.image_id)
        self._writer.add_measures(result.image_id, result.measures)

    def _keep_file(self, result: PhotoResult) -> None:
        if result.record["image_id"] != result.image_id:  # new or changed; otherwise the stored row is still correct
            record = select_scan_fields(result.record)
            self._writer.add_file(record, image_id=result.image_id, width=result.width, height=result.height)

    def _has_thumbnail(self, image_id: str) -> bool:
        return is_thumbnail_intact(self._store, image_id) if self._verify else self._store.thumbnails().exists(image_id)
