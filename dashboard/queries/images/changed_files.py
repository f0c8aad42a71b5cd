"""Find files that have changed since they were scanned."""

from pathlib import Path

import pandas as pd

from dashboard.queries.source import RunSource
from dashboard.server.photo_files import is_unchanged


def find_changed_files(source: RunSource, rows: pd.DataFrame) -> set[tuple[str, str]]:
    """Return (dataset, path) of the rows whose file still exists but has changed since it was scanned."""
    roots = {dataset.name: dataset.root for dataset in source.store().datasets()}
    changed_files = set()
    columns = ["dataset", "path", "bytes", "mtime_ns", "image_id"]
    for dataset, path, size, mtime_ns, image_id in rows[columns].itertuples(index=False):
        root = roots.get(dataset)
        if not isinstance(root, Path):  # of an object in a bucket, reading it tells
            continue
        try:
            file = root / path
            status = file.stat()
        except (OSError, ValueError):  # file or whole folder is gone; the store works without it
            continue
        if not is_unchanged(file, status, size, mtime_ns, image_id):
            changed_files.add((dataset, path))
    return changed_files
