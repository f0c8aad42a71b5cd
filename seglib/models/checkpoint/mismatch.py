"""Say what a file holds that does not fit, what it seems to be, and what to type instead."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from seglib.errors import UsageError, WeightsError
from seglib.models.checkpoint.contents import Contents, FileKind, read_head

_LISTED = 2

_FILES: dict[FileKind, str] = {
    "torchscript": "is a TorchScript file, which holds code: give it as `model` FILE, with `run_code`",
    "torch.export": "is a program of torch.export: give it as `model` FILE",
    "onnx": "is an ONNX file: give it as `model` FILE",
    "xml": "is the XML of an OpenVINO model: give it as `model` FILE",
}

_HEADS = (
    (rb"\x89HDF", "is an HDF5 file, as Keras writes it: export the model as ONNX and give it as `model` FILE"),
    (rb"\x80[\x02-\x05]", "is a pickle that torch.save did not write: save the model's state_dict() with torch.save"),
    (rb"GGUF", "is a GGUF file of a language model"),
    (rb"version \S*git-lfs", "is a pointer of Git LFS: fetch the file that it stands for with git lfs pull"),
    (rb"\s*<(!doctype )?html", "is a web page: the download went wrong"),
    (rb".{257}ustar", "is a tar archive: unpack it, and give the weights file in it"),
    (rb"\x1f\x8b", "is compressed by gzip: unpack it first"),
)

_LIBRARIES = (
    (
        r"segmentation_head\.",
        "segmentation_models_pytorch: give the folder that save_pretrained writes as `model` smp:FOLDER, or the module "
        "itself in Python",
    ),
    (
        r"segformer\.|model\.pixel_level_module\.|class_predictor\.|(dpt|beit|mobilevit|data2vec_vision)\.(enc|emb)|"
        r"backbone\.(embeddings|encoder|bit)\.|mobilenet_v2\.|mask_embedder\.|decode_head\.linear_c\.",
        "Hugging Face transformers: give its folder as `model` hf:FOLDER",
    ),
    (r"decode_head\.", "MMSegmentation: export it as ONNX and give it as `model` FILE"),
    (r"model\.\d+\.", "Ultralytics: export it as ONNX and give it as `model` FILE"),
    (r"down_blocks\.|time_embedding\.", "diffusers, which makes images and does not segment them"),
    (r"sem_seg_head\.|backbone\.bottom_up\.", "detectron2: export it as ONNX and give it as `model` FILE"),
    (
        r"fc\.weight|features\.0\.0\.|head\.fc\.|patch_embed\.|conv_head\.",
        "a classifier, which has no layer of scores per pixel: begin a training with it by `encoder` of seglib train",
    ),
)
"""Names that only one library's models have, at the beginning or after a dot -> what to do."""


def describe_file(path: Path, kind: FileKind) -> WeightsError | None:
    """What a file is that is no checkpoint at all; None if that cannot be told."""
    sentence = _FILES.get(kind)
    if sentence is None and kind == "other":
        head = read_head(path)
        sentence = next((text for sign, text in _HEADS if re.match(sign, head, re.IGNORECASE | re.DOTALL)), None)
    return None if sentence is None else WeightsError(f"{path.name} {sentence}.")


def describe_mismatch(contents: Contents, architecture: str, fitting: Sequence[str]) -> WeightsError:
    """Why a checkpoint has no weights of an architecture. `fitting`: architectures whose layers it has."""
    path, tensors = max(contents.state_dicts.items(), key=lambda item: len(item[1]))
    inside = f" in {'.'.join(path)[:60]!r}" if path else ""
    first = ", ".join(f"{key[:80]!r} {tensor.shape}" for key, tensor in list(tensors.items())[:_LISTED])
    more = ", ..." if len(tensors) > _LISTED else ""
    count = f"{len(tensors)} tensors" if len(tensors) != 1 else "1 tensor"
    what = suggest(tensors, fitting) or "it has none of that architecture's first and last layers"
    return WeightsError(
        f"{contents.name} does not fit {architecture}: it holds {count}{inside} ({_printable(first)}{more}), "
        f"and {what}."
    )


def describe_nameless(contents: Contents, fitting: Sequence[str]) -> UsageError:
    """What to type for a checkpoint that names no architecture. `fitting`: architectures whose layers it has."""
    named = f"name it with `model` {' or '.join(fitting)}, whose layers it has" if fitting else None
    tensors = max(contents.state_dicts.values(), key=len)
    what = (
        named
        or suggest(tensors, ())
        or "name one of `seglib models`, or give your own code as `model` file.py:FUNCTION"
    )
    return UsageError(f"{contents.name} does not say which model it is for: {what}.")


def suggest(tensors: Mapping[str, object], fitting: Sequence[str]) -> str | None:
    """What a state dict seems to be and what to type, as the end of a sentence; None if that cannot be told."""
    if fitting:
        return f"its layers are those of {' or '.join(fitting)}: take `model` {fitting[0]}"
    names = "\n".join(list(tensors)[:5000])
    for pattern, text in _LIBRARIES:
        if re.search(rf"(^|\.)({pattern})", names, re.MULTILINE):
            return f"its names are those of {text}"
    return None


def _printable(text: str) -> str:
    return "".join(filter(str.isprintable, text))
