"""U-Net decoders on MobileNetV2 and ResNet-34 encoders (Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.models import resnet34
from torchvision.models._utils import IntermediateLayerGetter

from seglib.errors import UnknownName
from seglib.models.fcn import ContextHead
from seglib.models.layers import Segmenter, _mobilenet_v2_at_stride_16, conv_norm_relu


class UNetHead(ContextHead):
    """U-Net's decoder (Ronneberger et al. 2015) over the maps of any encoder, coarse to fine, up to the finest map.

    Its bottom, its first skip and their scores are those of `ContextHead`, by the same names and bilinear: they say
    what is in the picture. The finer skips, each after an upsampling of the chosen kind, say where: their scores are
    added to the enlarged coarse ones and begin at zero (as in FCN-16s and FCN-8s, Long et al. 2015, section 4.2), so
    that training starts from what the coarse ones see.
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
    ) -> None:
        super().__init__(fine=fine, deep=deep, semantic=semantic, classes=classes, refined=refined)
        steps = list(zip((refined, *widths[:-1]), reversed(skips), widths, strict=True))
        self.up = nn.ModuleList(upsampler(upsampling, width) for width, _, _ in steps)
        self.join = nn.ModuleList(
            nn.Sequential(conv_norm_relu(width + skip, out, 3), conv_norm_relu(out, out, 3))
            for width, skip, out in steps
        )
        self.finer = nn.Conv2d(widths[-1], classes, 1)
        for parameter in self.finer.parameters():
            nn.init.zeros_(parameter)

    def forward(self, maps: dict[str, Tensor]) -> Tensor:
        x = self.features(maps)
        coarse = self.classify(self.dropout(x))
        skips = [of for name, of in maps.items() if name not in ("fine", "deep", "semantic")]
        for up, join, skip in zip(self.up, self.join, reversed(skips), strict=True):
            x = up(x)
            x = nn.functional.interpolate(x, size=skip.shape[2:], mode="bilinear", align_corners=False)
            x = join(torch.cat([x, skip], 1))
        out: Tensor = self.finer(self.dropout(x))
        return out + nn.functional.interpolate(coarse, size=out.shape[2:], mode="bilinear", align_corners=False)


UPSAMPLING: tuple[str, ...] = ("bilinear", "transposed", "shuffle")


def upsampler(kind: str, channels: int) -> nn.Module:
    """Doubles the sides of a map; `bilinear` leaves that to the interpolation that fits a map to its skip anyway.

    `transposed`: a convolution with stride 2. `shuffle`: four times the channels, rearranged (Shi et al. 2016), whose
    weights begin as those of nearest neighbour (ICNR, Aitken et al. 2017), so that no checkerboard is there to unlearn.
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


def unet_mobilenet_v2(classes: int, *, upsampling: str = "bilinear") -> nn.Module:
    """U-Net on the encoder, the pyramid and the first skip of `fcn_mobilenet_v2`, with further skips from 1/4 and 1/2
    of the side; logits at 1/2.
    """
    taken = {"1": "2", "3": "4", "6": "fine", "17": "deep", "18": "semantic"}
    backbone = IntermediateLayerGetter(_mobilenet_v2_at_stride_16(), taken)
    head = UNetHead(
        skips=(16, 24), fine=32, deep=320, semantic=1280, widths=(64, 32), classes=classes, upsampling=upsampling
    )
    return Segmenter(backbone, head)


def unet_resnet34(classes: int, *, upsampling: str = "bilinear") -> nn.Module:
    """U-Net on ResNet-34 (He et al. 2016), maps at 1/2 to 1/32; logits at 1/2."""
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
