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

    `head` is `conv` (torchvision's FCN head), `context` (`ContextHead`: global context and a finer skip connection) or
    `fused` (the same with class scores from both, without the encoder's last layer). Raises `UnknownName` for any other
    head.
    """
    if head == "conv":
        backbone = IntermediateLayerGetter(_mobilenet_v2_at_stride_16()[:18], {"17": "out"})
        model: nn.Module = FCN(backbone, FCNHead(320, classes))
        return model
    backbone, semantic = mobilenet_v2_maps(head, {})
    return Segmenter(
        backbone, ContextHead(fine=32, deep=320, semantic=semantic, classes=classes, fused=head == "fused")
    )


def mobilenet_v2_maps(head: str, skips: dict[str, str]) -> tuple[IntermediateLayerGetter, int]:
    """MobileNetV2's feature maps for `ContextHead`, `skips` besides, and the channels of the map that is averaged.

    That map is block 18's (1,280 channels, named `semantic`) for the head `context`, and block 17's for `fused`, which
    has no block 18. Raises `UnknownName` for any other head.
    """
    blocks, maps = _mobilenet_v2_at_stride_16(), {**skips, "6": "fine", "17": "deep"}
    if head == "context":
        return IntermediateLayerGetter(blocks, {**maps, "18": "semantic"}), 1280
    if head == "fused":
        return IntermediateLayerGetter(blocks[:18], maps), 320
    raise UnknownName("head", head, ("conv", "context", "fused"))


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

    def features(self, maps: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Feature maps `fine`, `deep` and (optionally) `semantic` -> (B, refined, 2h, 2w) and (B, width, h, w)."""
        fine = self.skip(maps["fine"])  # (B, 48, 2h, 2w)
        context = self.gather_context(maps["deep"], maps.get("semantic", maps["deep"]))
        return self.refine(torch.cat([upsample_to(context, fine), fine], 1)), context


class ContextHead(FinePyramid):
    """Segmentation head that outputs logits at 1/8 of the input size, from the pyramid and one skip connection.

    `fused`: the logits at 1/8 are added to those of the pyramid alone, upsampled from 1/16, and are initialised to zero
    (as in FCN-16s, Long et al. 2015, section 4.2). So training starts from the pyramid's prediction.
    """

    def __init__(
        self,
        *,
        fine: int,
        deep: int,
        semantic: int,
        classes: int,
        width: int = 256,
        refined: int = 192,
        fused: bool = False,
    ) -> None:
        super().__init__(fine=fine, deep=deep, semantic=semantic, width=width, refined=refined)
        self.dropout = nn.Dropout(0.1)
        self.coarse = nn.Conv2d(width, classes, 1) if fused else None
        self.classify = nn.Conv2d(refined, classes, 1)
        if fused:
            fill_with_zeros(self.classify)

    def forward(self, maps: dict[str, Tensor]) -> Tensor:
        return self.logits(*self.features(maps))

    def logits(self, refined: Tensor, context: Tensor) -> Tensor:
        """What `features` returns -> (B, classes, 2h, 2w)."""
        fine: Tensor = self.classify(self.dropout(refined))
        return fine if self.coarse is None else fine + upsample_to(self.coarse(self.dropout(context)), fine)


def upsample_to(x: Tensor, other: Tensor) -> Tensor:
    """Bilinear, to the height and width of another feature map."""
    return nn.functional.interpolate(x, size=other.shape[2:], mode="bilinear", align_corners=False)


def fill_with_zeros(module: nn.Module) -> None:
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
