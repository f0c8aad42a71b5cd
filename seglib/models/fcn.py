"""FCN on MobileNetV2, and the context head that it shares with the U-Nets.

Models map float (B, 3, H, W), normalised RGB, to {"out": logits (B, C, H, W)} for C classes. They are built with random
weights, without an auxiliary head (used only in training), and nothing is downloaded. Importing this module imports
torch.
"""

import torch
from torch import Tensor, nn
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.segmentation.fcn import FCN, FCNHead

from seglib.errors import UnknownName
from seglib.models.layers import Segmenter, _mobilenet_v2_at_stride_16, conv_norm_relu, separable_conv


def fcn_mobilenet_v2(classes: int, *, head: str = "conv") -> nn.Module:
    """FCN (Long et al. 2015) on MobileNetV2 (Sandler et al. 2018) at output stride 16.

    The stride of block 14 is removed and blocks 15 to 17 are dilated instead (as in DeepLab), so the 320-channel
    feature map before the head is 1/16 of the input size rather than 1/32.

    `head` is `conv` (torchvision's FCN head) or `context` (`ContextHead`: global context and a finer skip connection).
    Raises `UnknownName` for any other head.
    """
    blocks = _mobilenet_v2_at_stride_16()
    if head == "context":
        backbone = IntermediateLayerGetter(blocks, {"6": "fine", "17": "deep", "18": "semantic"})
        return Segmenter(backbone, ContextHead(fine=32, deep=320, semantic=1280, classes=classes))
    if head != "conv":
        raise UnknownName("head", head, ("conv", "context"))
    model: nn.Module = FCN(IntermediateLayerGetter(blocks[:18], {"17": "out"}), FCNHead(320, classes))
    return model


class Pyramid(nn.Module):
    """Atrous spatial pyramid with image pooling: combines local, surrounding and global context.

    `here`: 1x1 convolution of the deep feature map. `around`: three parallel dilated depthwise convolutions (atrous
    spatial pyramid, Chen et al. 2017, DeepLabv3). `whole`: the encoder's last features averaged over the image (image
    pooling, Liu et al. 2015, ParseNet); without it, parts of one animal are assigned to different classes.
    """

    def __init__(self, deep: int, semantic: int, width: int) -> None:
        super().__init__()
        self.here = conv_norm_relu(deep, width)
        self.around = nn.ModuleList(
            conv_norm_relu(width, width, 3, dilation=dilation, groups=width) for dilation in (3, 6, 12)
        )
        self.whole = nn.Sequential(nn.Conv2d(semantic, width, 1), nn.ReLU())
        self.project = conv_norm_relu(5 * width, width)

    def gather_context(self, deep: Tensor, semantic: Tensor) -> Tensor:
        """(B, deep, h, w) and (B, semantic, h, w) -> (B, width, h, w)."""
        reduced = self.here(deep)
        whole = self.whole(semantic.mean((2, 3), keepdim=True)).expand(-1, -1, reduced.shape[2], reduced.shape[3])
        out: Tensor = self.project(torch.cat([reduced, *(around(reduced) for around in self.around), whole], 1))
        return out


class FinePyramid(Pyramid):
    """`Pyramid` followed by a skip connection from the feature map at twice the resolution.

    Long et al. 2015; Chen et al. 2018 (DeepLabv3+).
    """

    def __init__(self, *, fine: int, deep: int, semantic: int, width: int = 256, refined: int = 192) -> None:
        super().__init__(deep, semantic, width)
        self.skip = conv_norm_relu(fine, 48)
        self.refine = nn.Sequential(separable_conv(width + 48, refined), separable_conv(refined, refined))

    def features(self, maps: dict[str, Tensor]) -> Tensor:
        """Feature maps `fine`, `deep` and (optionally) `semantic` -> (B, refined, 2h, 2w)."""
        fine = self.skip(maps["fine"])  # (B, 48, 2h, 2w)
        x = self.gather_context(maps["deep"], maps.get("semantic", maps["deep"]))
        x = nn.functional.interpolate(x, size=fine.shape[2:], mode="bilinear", align_corners=False)
        out: Tensor = self.refine(torch.cat([x, fine], 1))
        return out


class ContextHead(FinePyramid):
    """Segmentation head that outputs logits at 1/8 of the input size, from the pyramid and one skip connection."""

    def __init__(self, *, fine: int, deep: int, semantic: int, classes: int, refined: int = 192) -> None:
        super().__init__(fine=fine, deep=deep, semantic=semantic, refined=refined)
        self.dropout = nn.Dropout(0.1)
        self.classify = nn.Conv2d(refined, classes, 1)

    def forward(self, maps: dict[str, Tensor]) -> Tensor:
        out: Tensor = self.classify(self.dropout(self.features(maps)))
        return out
