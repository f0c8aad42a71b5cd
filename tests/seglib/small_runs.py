"""Runs of the fake model in this process."""

from pathlib import Path

import seglib
from seglib.pipeline.report import RunReport
from seglib.pipeline.session import RunOptions
from seglib.store.store import Store

INLINE = RunOptions(workers=0)


def run(photos: Path, store: Store, spec, options: RunOptions = INLINE, **more) -> RunReport:
    return seglib.run(photos, store, spec, options=options, **{"precision": "fp32", **more})


def counts(report: RunReport) -> tuple[int, int, int, int]:
    assert report.images == report.computed + report.reused + report.failed
    return report.images, report.computed, report.reused, report.failed
