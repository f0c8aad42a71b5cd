"""Average a backbone's feature map over an image, and over the pixels of one of its classes.

Global average pooling (Lin, Chen, Yan 2014, "Network in network", section 3.2), and masked average pooling (Zhang et
al. 2020, "SG-One", IEEE Transactions on Cybernetics), here with the mask that the model has predicted.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seglib.classes import BACKGROUND

if TYPE_CHECKING:
    from torch import Tensor


class PooledFeatures(NamedTuple):
    """Averages of one image's feature map, float32 (D,) each."""

    whole: NDArray[np.float32]
    region: NDArray[np.float32]
    """Of the chosen pixels; zeros if there are none."""


def pool_dominant(
    features: "Sequence[Tensor]", masks: NDArray[np.uint8], dominant: Sequence[str], classes: Sequence[str]
) -> list[PooledFeatures]:
    """`pool_features` over the dominant class of each mask uint8 (B, H, W); none if that is the background."""
    index = [-1 if name == BACKGROUND else classes.index(name) for name in dominant]
    return pool_features(features, [mask == one for mask, one in zip(masks, index, strict=True)])


def pool_features(features: "Sequence[Tensor]", chosen: Sequence[NDArray[np.bool_]]) -> list[PooledFeatures]:
    """Feature maps (b, D, h, w), of one or more images each, and a bool mask (H, W) per image -> their averages.

    The map covers what the mask covers. A cell of it counts by the share of its pixels that are chosen.
    """
    import torch

    pooled: list[PooledFeatures] = []
    with torch.inference_mode():
        for maps in features:
            masks = np.stack(chosen[len(pooled) : len(pooled) + len(maps)])
            planes = torch.from_numpy(masks).to(maps.device, torch.float32)[:, None]  # (b, 1, H, W)
            shares = torch.nn.functional.adaptive_avg_pool2d(planes, (maps.shape[2], maps.shape[3])).flatten(
                1
            )  # (b, hw)
            total = shares.sum(1, keepdim=True)
            weights = shares / torch.where(total > 0, total, 1)
            uniform = torch.full_like(weights, 1 / weights.shape[1])
            flat = maps.flatten(2).float()  # (b, D, hw)
            averages = (flat @ torch.stack([uniform, weights], 2)).cpu().numpy()  # (b, D, 2)
            pooled += [PooledFeatures(one[:, 0], one[:, 1]) for one in averages]
    return pooled
