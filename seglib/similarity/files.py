"""List the files whose images are compared."""

import pandas as pd

from seglib.store.store import Store

FILE_COLUMNS = ("dataset", "path", "split", "label", "image_id")


def list_files(store: Store) -> pd.DataFrame:
    """Readable files of the newest scans, one row each, sorted by dataset and path: `FILE_COLUMNS`."""
    frames = [pd.DataFrame(columns=list(FILE_COLUMNS))]
    for dataset in store.datasets():
        files = store.files(dataset)
        frames.append(files[files["reason"].isna()].assign(dataset=dataset.name)[list(FILE_COLUMNS)])
    return pd.concat([frame for frame in frames if len(frame)] or frames, ignore_index=True)


def first_files(files: pd.DataFrame) -> pd.DataFrame:
    """The first file of each image: index image_id (unique), columns dataset, path, split, label."""
    return files.drop_duplicates("image_id").set_index("image_id")
