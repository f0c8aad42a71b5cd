"""Find unusual images: those whose nearest neighbours are far away.

The mean distance to the k nearest neighbours, as in Ramaswamy, Rastogi, Shim, "Efficient algorithms for mining outliers
from large data sets" (SIGMOD 2000) and Angiulli, Pizzuti (2002), with cosine distance.
"""

import numpy as np
import pandas as pd

from seglib.similarity.embeddings import Embeddings
from seglib.similarity.neighbours import OnShare, find_neighbours

NEIGHBOURS = 10


def find_outliers(embeddings: Embeddings, k: int = NEIGHBOURS, *, on_share: OnShare | None = None) -> pd.DataFrame:
    """All images, the most unusual first: image_id, distance (float32, 0..2: mean cosine distance to the k nearest).

    With fewer than k other images, the mean over those; a single image has distance 0.
    """
    similarity = find_neighbours(embeddings.vectors, k, on_share=on_share)[1]
    distance = (1 - similarity).mean(axis=1) if similarity.shape[1] else np.zeros(len(embeddings), np.float32)
    frame = pd.DataFrame({"image_id": embeddings.ids.to_pandas(), "distance": distance.astype(np.float32).clip(0, 2)})
    return frame.sort_values("distance", ascending=False, kind="stable", ignore_index=True)
