"""U-Net decoders on MobileNetV2 and ResNet-34 encoders (Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.models import resnet34
from torchvision.models._utils import IntermediateLayerGetter

from seglib.errors import UnknownName
from seglib.models.fcn import ContextHead, fill_with_zeros, mobilenet_v2_maps, upsample_to
from seglib.models.layers import Segmenter, conv_norm_relu

UPSAMPLING: tuple[str, ...] = ("bilinear", "transposed", "shuffle")


class UNetHead(ContextHead):
    """U-Net decoder (Ronneberger et al. 2015) for any encoder's feature maps, coarse to fine.

    The coarse part (bottom, first skip and their logits) is `ContextHead`, with the same parameter names and bilinear
    upsampling. Each finer skip follows an upsampling of the chosen kind. The fine logits are added to the upsampled
    coarse ones and initialised to zero (as in FCN-16s and FCN-8s, Long et al. 2015, section 4.2), so that training
    starts from the coarse prediction.
    """

    def __init__(
        self,
        *,
        skips: Sequence[int],
        fine: int,
        deep: int,
        semantic: int,
        widths: Sequence[int],
        classes: int,
        upsampling: str,
        refined: int = 192,
        fused: bool = False,
    ) -> None:
        super().__init__(fine=fine, deep=deep, semantic=semantic, classes=classes, refined=refined, fused=fused)
        steps = list(zip((refined, *widths[:-1]), reversed(skips), widths, strict=True))
        self.up = nn.ModuleList(upsampler(upsampling, width) for width, _, _ in steps)
        self.join = nn.ModuleList(
            nn.Sequential(conv_norm_relu(width + skip, out, 3), conv_norm_relu(out, out, 3))
            for width, skip, out in steps
        )
        self.finer = nn.Conv2d(widths[-1], classes, 1)
        fill_with_zeros(self.finer)

    def forward(self, maps: dict[str, Tensor]) -> Tensor:
        x, context = self.features(maps)
        coarse = self.logits(x, context)
        skips = [of for name, of in maps.items() if name not in ("fine", "deep", "semantic")]
        for up, join, skip in zip(self.up, self.join, reversed(skips), strict=True):
            x = join(torch.cat([upsample_to(up(x), skip), skip], 1))
        out: Tensor = self.finer(self.dropout(x))
        return out + upsample_to(coarse, out)


def upsampler(kind: str, channels: int) -> nn.Module:
    """Layer that doubles the size of a feature map. Raises `UnknownName` for a kind not in `UPSAMPLING`.

    `bilinear`: identity, because the decoder interpolates each map to its skip's size anyway. `transposed`: transposed
    convolution with stride 2. `shuffle`: pixel shuffle (Shi et al. 2016), initialised to nearest neighbour (ICNR,
    Aitken et al. 2017) to avoid checkerboard artefacts.
    """
    if kind == "transposed":
        return nn.ConvTranspose2d(channels, channels, 2, 2)
    if kind == "shuffle":
        conv = nn.Conv2d(channels, 4 * channels, 1)
        with torch.no_grad():
            for parameter in conv.parameters():
                parameter.copy_(parameter[::4].repeat_interleave(4, 0))
        return nn.Sequential(conv, nn.ReLU(), nn.PixelShuffle(2))
    if kind != "bilinear":
        raise UnknownName("upsampling", kind, UPSAMPLING)
    return nn.Identity()


def unet_mobilenet_v2(classes: int, *, upsampling: str = "bilinear", head: str = "context") -> nn.Module:
    """`fcn_mobilenet_v2` (head `context` or `fused`), extended by U-Net skips from 1/4 and 1/2 of the input size.

    Outputs logits at 1/2 before the final upsampling.
    """
    backbone, semantic = mobilenet_v2_maps(head, {"1": "2", "3": "4"})
    return Segmenter(
        backbone,
        UNetHead(
            skips=(16, 24),
            fine=32,
            deep=320,
            semantic=semantic,
            widths=(64, 32),
            classes=classes,
            upsampling=upsampling,
            fused=head == "fused",
        ),
    )


def unet_resnet34(classes: int, *, upsampling: str = "bilinear") -> nn.Module:
    """U-Net on ResNet-34 (He et al. 2016): feature maps at 1/2 to 1/32 of the input size, logits at 1/2."""
    backbone = IntermediateLayerGetter(
        resnet34(weights=None), {"relu": "2", "layer1": "4", "layer2": "8", "layer3": "fine", "layer4": "deep"}
    )
    head = UNetHead(
        skips=(64, 64, 128),
        fine=256,
        deep=512,
        semantic=512,
        widths=(128, 64, 32),
        classes=classes,
        upsampling=upsampling,
    )
    return Segmenter(backbone, head)
