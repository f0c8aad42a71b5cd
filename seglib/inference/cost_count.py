"""Count the parameters and operations of a model that no table describes, as far as torch computes it.

A built-in architecture is counted from its shapes alone; any other model is called once on noise, on the device and in
the precision that it runs in. What torch does not compute (an OpenVINO model, numpy) has unknown operations.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from seglib.data.resize import Resize
from seglib.inference import predictor
from seglib.inference.config import InferenceConfig
from seglib.models.registry import GFLOPS_SIDE, MODELS, ModelSpec

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class ModelCounts:
    parameters: int | None
    """None if unknown, never 0."""
    gflops: float | None
    """For one square image with `GFLOPS_SIDE` pixels on a side; a multiply-add counts once. None if unknown."""
    input_rule: Resize
    """From an image's size to that of the model's input."""


def is_in_table(spec: ModelSpec) -> bool:
    """Whether `MODELS` holds the counts of exactly this architecture and number of classes."""
    known = MODELS.get(spec.name)
    return known is not None and known.gflops is not None and known.parameters == spec.parameters


def count_model(spec: ModelSpec, config: InferenceConfig) -> ModelCounts:
    """Count a model, which is loaded first if it is not built in."""
    input_rule = spec.input_resize(config.resize)
    input_wh = input_rule.grid_wh(GFLOPS_SIDE, GFLOPS_SIDE)
    if spec.adapter is None:
        parameters, operations = _count_built_in(spec, input_wh)
    else:
        noise = np.random.default_rng(0).integers(0, 256, (1, *input_wh[::-1], 3), np.uint8)
        backend = predictor.load_backend(spec, config)
        parameters, operations = count_call(lambda: list(backend(noise)))
    return ModelCounts(
        parameters=spec.parameters or parameters or None,
        gflops=round(operations / 1e9, 6) if operations else None,
        input_rule=input_rule,
    )


def _count_built_in(spec: ModelSpec, input_wh: tuple[int, int]) -> tuple[int, int]:
    import torch

    with torch.device("meta"):
        model = spec.build(len(spec.classes)).eval()
        image = torch.empty(1, 3, *input_wh[::-1])
    return count_call(lambda: model(image))


def count_call(call: Callable[[], object]) -> tuple[int, int]:
    """(parameters of all modules that `call` runs, operations); 0 for what torch did not compute.

    Not to be called while another thread runs a module: torch's hook on all modules sees that one too.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    aten = torch.ops.aten
    counter = FlopCounterMode(
        display=False, custom_mapping={aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops}
    )
    called: dict[int, nn.Module] = {}

    def note(module: "nn.Module", _inputs: Sequence[Any]) -> None:
        called[id(module)] = module

    hook = torch.nn.modules.module.register_module_forward_pre_hook(note)
    try:
        with torch.inference_mode(), _without_fused_attention(), counter:
            call()
    except Exception:  # foreign code raises whatever it likes, and a run needs no count
        return 0, 0
    finally:
        hook.remove()
    parameters = {id(one): one.numel() for module in called.values() for one in module.parameters()}
    return sum(parameters.values()), counter.get_total_flops() // 2  # it takes a multiply-add for two


def _attention_flops(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    """Operations of scaled dot product attention, given the shapes; torch's counter lacks the CPU's kernel."""
    from torch.utils.flop_counter import sdpa_flop_count

    return int(sdpa_flop_count(query, key, value))  # type: ignore[no-untyped-call]


@contextlib.contextmanager
def _without_fused_attention() -> Iterator[None]:
    """Compute `nn.MultiheadAttention` by the operations that the counter knows."""
    import torch

    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
