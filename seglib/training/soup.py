"""One checkpoint of several: the mean of their weights (Wortsman et al. 2022, Model soups).

In: checkpoints of one net, trained from one start, and how much each counts. Out: a checkpoint like them, which is as
quick as one of them and often better than each. Knows nothing of data and of training.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from seglib.data.resize import check_net_side
from seglib.errors import UsageError
from seglib.models import loading, registry, weights_file
from seglib.training import checkpoint

_OF_ONE_TRAINING = ("epoch", "validation_miou")


def average(files: Sequence[Path], shares: Sequence[float], out: Path, net_side: int | None = None) -> None:
    """Write the mean of the files' weights, each with its share of the shares' sum; what else the first file says of
    itself is kept, but for `net_side` if another one is asked for, and `mean_of` names the SHA-256 and the share of
    each.

    Raises `UsageError` if there are fewer than two files, if a share is no number above 0, if `out` has another ending
    or is one of the files, if no net has such a side, or if they are not of one net with the same classes;
    `WeightsError` if one of them cannot be read.
    """
    if len(files) < 2 or len(shares) != len(files):
        raise UsageError(
            f"Expected at least two checkpoints and a share of each, got {len(files)} and {len(shares)}: name both."
        )
    if not all(0 < share < math.inf for share in shares):
        raise UsageError("A share is a number above 0: leave out the checkpoint that is not to count.")
    if out.suffix != ".safetensors":
        raise UsageError(f"--out {out.name!r}: expected a name that ends in .safetensors.")
    if out.resolve() in [file.resolve() for file in files]:
        raise UsageError(f"{out.name!r} is one of the checkpoints and would be overwritten: name another --out.")
    check_net_side(net_side or 0)
    first, *others = [registry.find(None, file) for file in files]
    for other in others:
        if (other.build, other.classes, other.mean, other.std) != (first.build, first.classes, first.mean, first.std):
            raise UsageError(
                f"{other.path.name} is not of the same net with the same classes as {first.path.name}: "
                "only such have a mean."
            )
    parts = [share / sum(shares) for share in shares]
    states = [loading.load(spec).state_dict() for spec in (first, *others)]
    stored = weights_file.read_state(first.path)
    mean = {name: _mean([state[name] for state in states], parts).to(stored[name].dtype) for name in states[0]}
    about = {name: text for name, text in weights_file.metadata(first.path).items() if name not in _OF_ONE_TRAINING}
    if net_side is not None:
        about["net_side"] = str(net_side)
    named = [[weights_file.file_sha256(file), round(part, 6)] for file, part in zip(files, parts, strict=True)]
    out.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.write_whole(out, save(mean, about | {"mean_of": json.dumps(named)}))


def _mean(values: Sequence[Tensor], parts: Sequence[float]) -> Tensor:
    """Of whole numbers (how many batches a norm has seen) the greatest."""
    stacked = torch.stack(list(values))
    if not stacked.is_floating_point():
        return stacked.amax(0)
    mean: Tensor = torch.tensordot(torch.tensor(parts), stacked, 1)
    return mean
