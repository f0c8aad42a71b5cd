"""SegNet (Badrinarayanan, Kendall, Cipolla 2017, IEEE TPAMI 39(12)): a decoder that unpools with the encoder's indices.

`segnet(classes)` builds a model that maps float (B, 3, H, W) to {"out": logits (B, C, H, W)}. The encoder is VGG16's 13
convolutions with batch norm. Each of its five max poolings passes its indices to the decoder's unpooling of the same
size, which puts each value back at its original position and fills the rest with 0.
"""

import itertools
from collections.abc import Sequence

from torch import Tensor, nn

VGG16: tuple[tuple[int, int], ...] = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""(channels, convolutions) of each stage."""


def segnet(classes: int) -> nn.Module:
    return SegNet(classes)


class SegNet(nn.Module):
    def __init__(self, classes: int, stages: Sequence[tuple[int, int]] = VGG16) -> None:
        super().__init__()
        before = [3, *(channels for channels, _ in stages[:-1])]
        self.backbone = nn.ModuleList(
            _stage([channels, *[width] * convs]) for channels, (width, convs) in zip(before, stages, strict=True)
        )
        self.pool = nn.MaxPool2d(2, return_indices=True)
        self.unpool = nn.MaxUnpool2d(2)
        # each stage mirrors an encoder stage; `classify` is the last convolution of the finest one
        widths = [[width] * convs for width, convs in stages]
        onward = [[], *([width] for width, _ in stages[:-1])]
        self.classifier = nn.ModuleList(
            _stage([*mirrored, *after]) for mirrored, after in zip(reversed(widths), reversed(onward), strict=True)
        )
        self.classify = nn.Conv2d(stages[0][0], classes, 3, padding=1)

    def logits(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, C, H, W)."""
        places = []
        for stage in self.backbone:
            x = stage(x)
            pooled = self.pool(x)
            places.append((pooled[1], x.shape))  # indexed, not unpacked, so that torch.fx can trace it
            x = pooled[0]
        for stage, (indices, shape) in zip(self.classifier, reversed(places), strict=True):
            x = stage(self.unpool(x, indices, output_size=shape))
        out: Tensor = self.classify(x)
        return out

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"out": self.logits(x)}


def _stage(widths: Sequence[int]) -> nn.Sequential:
    """3x3 convolutions, each with batch norm and ReLU; parameters in the order of torchvision's `vgg16_bn`."""
    layers: list[nn.Module] = []
    for channels, out in itertools.pairwise(widths):
        layers += [nn.Conv2d(channels, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)
