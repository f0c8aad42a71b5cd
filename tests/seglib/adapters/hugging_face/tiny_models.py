"""Folders of small models of transformers with seeded random weights, as `save_pretrained` writes them."""

import contextlib
import io
import json
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import seglib

if TYPE_CHECKING:
    import torch

CLASSES = ("wall", "floor", "door", "cat", "dog")
SWIN = {"embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 2, 2, 4], "window_size": 4, "image_size": 64}
STAGES = ["stage1", "stage2", "stage3", "stage4"]
HEAD = "decode_head.classifier.weight"
"""A layer of SegFormer whose weights no backbone has."""

VIT = {"image_size": 64, "patch_size": 8, "hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2}


def labels(names=CLASSES) -> dict:
    return {"id2label": dict(enumerate(names)), "label2id": {name: index for index, name in enumerate(names)}}


def segformer(t, **more):
    config = t.SegformerConfig(
        hidden_sizes=[8, 8, 16, 16],
        depths=[1, 1, 1, 1],
        num_attention_heads=[1, 1, 2, 2],
        decoder_hidden_size=16,
        **labels() | more,
    )
    return t.SegformerForSemanticSegmentation(config), t.SegformerImageProcessor(size={"height": 96, "width": 128})


def upernet(t):
    backbone = t.ConvNextConfig(hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], out_features=STAGES)
    config = t.UperNetConfig(
        backbone_config=backbone, hidden_size=16, auxiliary_in_channels=16, auxiliary_channels=8, **labels()
    )
    size = {"shortest_edge": 128, "longest_edge": 180}
    return t.UperNetForSemanticSegmentation(config), t.SegformerImageProcessor(size=size)


def beit(t):
    config = t.BeitConfig(
        intermediate_size=32, out_indices=[1, 2, 3, 4], auxiliary_channels=8, pool_scales=[1, 2], **VIT, **labels()
    )
    size = {"height": 64, "width": 64}
    return t.BeitForSemanticSegmentation(config), t.BeitImageProcessor(size=size, do_center_crop=False)


def dpt(t, *, keep_aspect_ratio=False):
    config = t.DPTConfig(
        intermediate_size=32,
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[8, 8, 8, 8],
        fusion_hidden_size=8,
        **VIT,
        **labels(),
    )
    processor = t.DPTImageProcessor(
        size={"height": 70, "width": 70}, ensure_multiple_of=32, keep_aspect_ratio=keep_aspect_ratio
    )
    return t.DPTForSemanticSegmentation(config), processor


def mobilevit(t):
    config = t.MobileViTConfig(
        hidden_sizes=[8, 8, 8],
        neck_hidden_sizes=[8, 8, 8, 8, 8, 8, 8],
        image_size=64,
        num_attention_heads=2,
        aspp_out_channels=8,
        **labels(),
    )
    processor = t.MobileViTImageProcessor(size={"shortest_edge": 100}, crop_size={"height": 64, "width": 64})
    return t.MobileViTForSemanticSegmentation(config), processor


def maskformer(t):
    decoder = t.DetrConfig(
        d_model=32,
        decoder_layers=1,
        encoder_layers=1,
        decoder_ffn_dim=16,
        encoder_ffn_dim=16,
        decoder_attention_heads=2,
        encoder_attention_heads=2,
        num_queries=8,
    )
    config = t.MaskFormerConfig(
        backbone_config=t.SwinConfig(out_features=STAGES, **SWIN),
        fpn_feature_size=32,
        mask_feature_size=32,
        decoder_config=decoder,
        **labels(),
    )
    processor = t.MaskFormerImageProcessor(size={"shortest_edge": 96, "longest_edge": 160}, size_divisor=32)
    return t.MaskFormerForInstanceSegmentation(config), processor


def mask2former(t):
    config = t.Mask2FormerConfig(
        backbone_config=t.SwinConfig(out_features=STAGES, **SWIN),
        feature_size=32,
        mask_feature_size=32,
        hidden_dim=32,
        encoder_feedforward_dim=16,
        dim_feedforward=16,
        encoder_layers=1,
        decoder_layers=1,
        num_attention_heads=2,
        num_queries=8,
        **labels(),
    )
    processor = t.Mask2FormerImageProcessor(size={"shortest_edge": 100, "longest_edge": 160}, size_divisor=32)
    return t.Mask2FormerForUniversalSegmentation(config), processor


def oneformer(t):
    config = t.OneFormerConfig(
        backbone_config=t.SwinConfig(out_features=STAGES, **SWIN),
        num_queries=8,
        hidden_dim=32,
        conv_dim=32,
        mask_dim=32,
        encoder_feedforward_dim=16,
        dim_feedforward=16,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=2,
        query_dec_layers=1,
        is_training=False,
        **labels(),
    )
    letters = "abcdefghijklmnopqrstuvwxyz"
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = t.CLIPTokenizer(vocab={token: index for index, token in enumerate(tokens)}, merges=[])
    processor = t.OneFormerProcessor(
        image_processor=t.OneFormerImageProcessor(size={"shortest_edge": 96, "longest_edge": 160}), tokenizer=tokenizer
    )
    return t.OneFormerForUniversalSegmentation(config), processor


def eomt(t, *, split=True):
    config = t.EomtConfig(**VIT, num_queries=8, num_blocks=1, num_upscale_blocks=1, num_register_tokens=1, **labels())
    longest = None if split else 64
    processor = t.EomtImageProcessor(
        size={"shortest_edge": 64, "longest_edge": longest}, do_split_image=split, do_pad=not split
    )
    return t.EomtForUniversalSegmentation(config), processor


def detr(t):
    backbone = t.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8, 8, 8], depths=[1, 1, 1, 1], layer_type="basic", out_features=STAGES
    )
    config = t.DetrConfig(
        backbone_config=backbone,
        use_timm_backbone=False,
        d_model=32,
        decoder_layers=1,
        encoder_layers=1,
        decoder_ffn_dim=16,
        encoder_ffn_dim=16,
        decoder_attention_heads=8,
        encoder_attention_heads=8,
        num_queries=8,
        **labels(),
    )
    processor = t.DetrImageProcessor(size={"shortest_edge": 96, "longest_edge": 160})
    return t.DetrForSegmentation(config), processor


MODELS: dict[str, Callable] = {
    "segformer": segformer,
    "upernet": upernet,
    "beit": beit,
    "dpt": dpt,
    "mobilevit": mobilevit,
    "maskformer": maskformer,
    "mask2former": mask2former,
    "oneformer": oneformer,
    "eomt": eomt,
    "eomt-padded": partial(eomt, split=False),
    "detr": detr,
}


def save(folder: Path, build: Callable, *, seed: int = 0, **options) -> Path:
    """Build a model, give it weights large enough that its masks have several classes, and save it."""
    import torch
    import transformers

    from seglib.adapters.hugging_face import loading

    with loading.quiet(), warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        model, processor = build(transformers)
        with torch.no_grad():
            for weight in model.parameters():
                if weight.ndim > 1:
                    torch.nn.init.kaiming_normal_(weight)
                else:
                    weight.add_(torch.randn_like(weight), alpha=0.1)
        model.save_pretrained(folder, **options)
        processor.save_pretrained(folder)
    return folder


def edit_json(file: Path, **values) -> None:
    """Change values of a JSON file; None removes one."""
    content = json.loads(file.read_text()) | values
    file.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def find(folder: Path, **options):
    return seglib.find_model(f"hf:{folder}", **options)


def weights(folder: Path) -> dict[str, "torch.Tensor"]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def replace_weights(folder: Path, state: dict[str, "torch.Tensor"]) -> None:
    from safetensors.torch import save_file

    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
