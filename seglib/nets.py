"""Nets, built without weights: torchvision's segmentation families, our own small FCN, U-Nets.

In: a number of classes C. Out: a module that maps float (B, 3, H, W), normalised RGB, to {"out": logits (B, C, H, W)}.
Every net is built without auxiliary head (it serves training alone) and never downloads anything.
Knows nothing of weights, class names, files or pictures. Imports torch: import it only where a net is needed.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.fx.experimental.optimization import fuse
from torchvision.models import get_model, mobilenet_v2, resnet34
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.segmentation.fcn import FCN, FCNHead

from seglib.errors import UnknownName


def fcn_mobilenet_v2(classes: int, *, head: str = "conv") -> nn.Module:
    """FCN (Long et al. 2015) on MobileNetV2 (Sandler et al. 2018) at output stride 16.

    The stride of block 14 is taken out and blocks 15 to 17 are dilated instead (as in DeepLab), so that the map of
    320 channels before the head has 1/16 of the input's side and not 1/32. The head is torchvision's for FCNs
    (`conv`), or one that sees the whole picture and finer steps (`context`, see `ContextHead`).
    """
    blocks = _mobilenet_v2_at_stride_16()
    if head == "context":
        backbone = IntermediateLayerGetter(blocks, {"6": "fine", "17": "deep", "18": "semantic"})
        return Segmenter(backbone, ContextHead(fine=32, deep=320, semantic=1280, classes=classes))
    if head != "conv":
        raise UnknownName("head", head, ("conv", "context"))
    net: nn.Module = FCN(IntermediateLayerGetter(blocks[:18], {"17": "out"}), FCNHead(320, classes))
    return net


def _mobilenet_v2_at_stride_16() -> nn.Sequential:
    blocks: nn.Sequential = mobilenet_v2(weights=None).features
    for index in (14, 15, 16, 17):
        depthwise = blocks.get_submodule(f"{index}.conv.1.0")
        assert isinstance(depthwise, nn.Conv2d)
        depthwise.stride = (1, 1)
        if index > 14:
            depthwise.dilation, depthwise.padding = (2, 2), (2, 2)
    return blocks


class Segmenter(nn.Module):
    """A backbone that gives maps by name, and a head that makes logits of them; training asks for those alone."""

    def __init__(self, backbone: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.classifier = classifier

    def logits(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, C, h, w), as the head makes them."""
        out: Tensor = self.classifier(self.backbone(x))
        return out

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        size = x.shape[2:]
        return {"out": nn.functional.interpolate(self.logits(x), size=size, mode="bilinear", align_corners=False)}


class Pyramid(nn.Module):
    """What is here, around, and in the picture as a whole.

    Here: the deep map. Around: three dilated depthwise convolutions beside each other (atrous spatial pyramid, Chen et
    al. 2017, DeepLabv3). Whole: the encoder's last features, averaged over the picture (image pooling, Liu et al.
    2015, ParseNet), without which one animal falls into parts of several.
    """

    def __init__(self, deep: int, semantic: int, width: int) -> None:
        super().__init__()
        self.here = conv_norm_relu(deep, width)
        self.around = nn.ModuleList(
            conv_norm_relu(width, width, 3, dilation=dilation, groups=width) for dilation in (3, 6, 12)
        )
        self.whole = nn.Sequential(nn.Conv2d(semantic, width, 1), nn.ReLU())
        self.project = conv_norm_relu(5 * width, width)

    def seen(self, deep: Tensor, semantic: Tensor) -> Tensor:
        """(B, deep, h, w) and (B, semantic, h, w) -> (B, width, h, w)."""
        here = self.here(deep)
        whole = self.whole(semantic.mean((2, 3), keepdim=True)).expand(-1, -1, here.shape[2], here.shape[3])
        out: Tensor = self.project(torch.cat([here, *(around(here) for around in self.around), whole], 1))
        return out


class FinePyramid(Pyramid):
    """The pyramid, then a skip connection from the map of twice its side (Long et al. 2015; Chen et al. 2018,
    DeepLabv3+).
    """

    def __init__(self, *, fine: int, deep: int, semantic: int, width: int = 256, refined: int = 192) -> None:
        super().__init__(deep, semantic, width)
        self.skip = conv_norm_relu(fine, 48)
        self.refine = nn.Sequential(separable(width + 48, refined), separable(refined, refined))

    def features(self, maps: dict[str, Tensor]) -> Tensor:
        """The maps `fine`, `deep` (and `semantic`, if the encoder has one beyond it) -> (B, refined, 2h, 2w)."""
        fine = self.skip(maps["fine"])  # (B, 48, 2h, 2w)
        x = self.seen(maps["deep"], maps.get("semantic", maps["deep"]))
        x = nn.functional.interpolate(x, size=fine.shape[2:], mode="bilinear", align_corners=False)
        out: Tensor = self.refine(torch.cat([x, fine], 1))
        return out


class ContextHead(FinePyramid):
    """Logits at 1/8 of the side, from the pyramid and one skip connection."""

    def __init__(self, *, fine: int, deep: int, semantic: int, classes: int, refined: int = 192) -> None:
        super().__init__(fine=fine, deep=deep, semantic=semantic, refined=refined)
        self.dropout = nn.Dropout(0.1)
        self.classify = nn.Conv2d(refined, classes, 1)

    def forward(self, maps: dict[str, Tensor]) -> Tensor:
        out: Tensor = self.classify(self.dropout(self.features(maps)))
        return out


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


class MendedDepthwise(nn.Conv2d):
    """A depthwise 3x3 convolution whose gradient is right and quick on a CPU: the same numbers and the same weights by
    name.

    oneDNN's gradient of a dilated one's weights is memory that nobody wrote to in bf16 for some sizes (22x32, torch
    2.15), and its backward pass takes ten to twenty times as long with dilation 2 or stride 2 as without. So dilation 2
    computes as dilation 1 on the four interleaved quarters of the map, stride 2 as every second number of stride 1, and
    what dilation that does not fit computes in float32.
    """

    def forward(self, x: Tensor) -> Tensor:
        if self.stride == (2, 2):
            return nn.functional.conv2d(x, self.weight, self.bias, 1, 1, 1, self.groups)[:, :, ::2, ::2]
        batch, channels, height, width = x.shape
        if self.dilation != (2, 2) or height % 2 or width % 2:
            with torch.autocast(x.device.type, enabled=False):
                return super().forward(x.float()).to(x.dtype)
        x = x.permute(0, 2, 3, 1).reshape(batch, height // 2, 2, width // 2, 2, channels).permute(2, 4, 0, 1, 3, 5)
        x = x.reshape(4 * batch, height // 2, width // 2, channels).permute(0, 3, 1, 2)
        x = nn.functional.conv2d(x, self.weight, self.bias, 1, 1, 1, self.groups)
        x = x.permute(0, 2, 3, 1).reshape(2, 2, batch, height // 2, width // 2, channels).permute(2, 3, 0, 4, 1, 5)
        return x.reshape(batch, height, width, channels).permute(0, 3, 1, 2)


def mend_depthwise(net: nn.Module) -> None:
    """Let depthwise 3x3 convolutions with a stride of 2 or with a dilation compute as `MendedDepthwise`, in place: for
    training on a CPU.
    """
    for name, module in list(net.named_modules()):
        if isinstance(module, nn.Conv2d) and _is_to_mend(module):
            parent, _, child = name.rpartition(".")
            channels, stride, dilation = module.in_channels, module.stride[0], module.dilation[0]
            bias = module.bias is not None
            conv = MendedDepthwise(channels, channels, 3, stride, dilation, dilation, channels, bias=bias)
            conv.weight, conv.bias = module.weight, module.bias
            setattr(net.get_submodule(parent), child, conv)


def _is_to_mend(conv: nn.Conv2d) -> bool:
    depthwise = conv.groups == conv.in_channels == conv.out_channels > 1
    strided, dilated = conv.stride == (2, 2), conv.dilation != (1, 1)
    fits = conv.kernel_size == (3, 3) and conv.padding == conv.dilation and (strided or conv.stride == (1, 1))
    return depthwise and fits and strided != dilated


def conv_norm_relu(
    channels: int, out: int, kernel_size: int = 1, *, dilation: int = 1, groups: int = 1
) -> nn.Sequential:
    padding = dilation * (kernel_size // 2)
    conv = nn.Conv2d(channels, out, kernel_size, 1, padding, dilation, groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out), nn.ReLU())


def separable(channels: int, out: int) -> nn.Sequential:
    """A depthwise 3x3 convolution and a pointwise one."""
    return nn.Sequential(conv_norm_relu(channels, channels, 3, groups=channels), conv_norm_relu(channels, out))


class InFloat32(nn.Module):
    """A block that computes in float32 inside a net of another precision, and hands on what it was given."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.block(x.float())
        return out.to(x.dtype)


class SplitConv(nn.Module):
    """A 3x3 convolution as several narrower ones beside each other, whose outputs are joined: the same numbers."""

    def __init__(self, conv: nn.Conv2d, parts: int) -> None:
        super().__init__()
        assert (conv.groups, conv.stride) == (1, (1, 1))
        assert conv.bias is not None
        assert isinstance(conv.padding, tuple)
        padding, dilation = conv.padding[0], conv.dilation[0]
        self.parts = nn.ModuleList()
        for weight, bias in zip(conv.weight.chunk(parts), conv.bias.chunk(parts), strict=True):
            part = nn.Conv2d(conv.in_channels, len(weight), 3, 1, padding, dilation, dtype=weight.dtype)
            part.weight, part.bias = nn.Parameter(weight.clone()), nn.Parameter(bias.clone())
            self.parts.append(part)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([part(x) for part in self.parts], 1)


def split_wide(net: nn.Module) -> None:
    """Split the 3x3 convolutions of 2048 channels (a ResNet's head) in two, in place: for bf16 on a CPU.

    Their weights then fit better into the processor's cache: 265 instead of 330 ms for 8 pictures at 28x28, 7 % of
    FCN-ResNet50. Narrower ones gain nothing, nor do four parts.
    """
    for name, module in list(net.named_modules()):
        if isinstance(module, nn.Conv2d) and module.in_channels >= 2048 and module.kernel_size == (3, 3):
            parent, _, child = name.rpartition(".")
            setattr(net.get_submodule(parent), child, SplitConv(module, 2))


def prepared(net: nn.Module, dtype: torch.dtype, fp32_blocks: Sequence[str] = ()) -> nn.Module:
    """The net for inference: float (B, 3, H, W) -> logits (B, C, h, w) as its head makes them, before upsampling.

    Batch norms are folded into their convolutions (Jacob et al. 2018, section 3.2), which changes logits by float
    rounding alone and takes 40 % off MobileNetV2's time on a CPU (no gain was seen on ResNet-50). Then all is cast to
    `dtype`, save for `fp32_blocks`.
    Changes `net` in place; it must be in eval mode and in float32.
    """
    for name in fp32_blocks:
        parent, _, child = name.rpartition(".")
        net.get_submodule(parent).add_module(child, InFloat32(net.get_submodule(name)))
    folded = fuse(net)
    assert isinstance(folded, GraphModule)
    _leave_out_upsampling(folded)
    kept = tuple(f"{name}.block." for name in fp32_blocks)
    for name, module in folded.named_modules():
        if not name.startswith(kept) and not any(module.children()):
            module.to(dtype)
    return folded.to(memory_format=torch.channels_last)


def _leave_out_upsampling(net: GraphModule) -> None:
    """Let the net return what it would have interpolated to {"out": ...}: that waits until a picture is looked at."""
    (output,) = (node for node in net.graph.nodes if node.op == "output")
    logits = output.args[0]["out"]
    if logits.target is nn.functional.interpolate:
        logits = logits.args[0]
    output.args = (logits,)
    net.graph.eliminate_dead_code()
    net.recompile()


def from_torchvision(name: str, classes: int) -> nn.Module:
    """A net of torchvision.models.segmentation by its registered name."""
    net = get_model(name, weights=None, weights_backbone=None, num_classes=classes)
    assert isinstance(net, nn.Module)
    return net
