"""Building blocks shared by the architectures, and a constructor for torchvision's segmentation models."""

import torch
from torch import Tensor, nn
from torchvision.models import get_model, mobilenet_v2


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
    """A backbone that returns named feature maps, and a head that turns them into logits.

    `forward` upsamples the logits to the input size; training calls `logits` to get them before upsampling.
    """

    def __init__(self, backbone: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.classifier = classifier

    def logits(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, C, h, w), at the head's output resolution."""
        out: Tensor = self.classifier(self.backbone(x))
        return out

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        size = x.shape[2:]
        return {"out": nn.functional.interpolate(self.logits(x), size=size, mode="bilinear", align_corners=False)}


class CpuDepthwiseConv2d(nn.Conv2d):
    """Depthwise 3x3 convolution whose backward pass is correct and fast on a CPU; same outputs and weight names.

    In bf16, oneDNN returns uninitialised memory as the weight gradient of a dilated depthwise convolution at some sizes
    (22x32, torch 2.15), and its backward pass is 10 to 20 times slower with dilation 2 or stride 2. So dilation 2 runs
    as dilation 1 on the four interleaved quarters of the map, stride 2 takes every second output of stride 1, and any
    other dilation or size runs in float32.
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


def replace_depthwise_convs(model: nn.Module) -> None:
    """Replace strided or dilated 3x3 depthwise convolutions with `CpuDepthwiseConv2d` in place, for CPU training."""
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Conv2d) and _is_replaceable(module):
            parent, _, child = name.rpartition(".")
            channels, stride, dilation = module.in_channels, module.stride[0], module.dilation[0]
            bias = module.bias is not None
            conv = CpuDepthwiseConv2d(channels, channels, 3, stride, dilation, dilation, channels, bias=bias)
            conv.weight, conv.bias = module.weight, module.bias
            setattr(model.get_submodule(parent), child, conv)


def _is_replaceable(conv: nn.Conv2d) -> bool:
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


def separable_conv(channels: int, out: int) -> nn.Sequential:
    """Depthwise separable convolution: depthwise 3x3, then pointwise 1x1."""
    return nn.Sequential(conv_norm_relu(channels, channels, 3, groups=channels), conv_norm_relu(channels, out))


def build_torchvision_model(classes: int, name: str) -> nn.Module:
    """Build a torchvision.models.segmentation model by its registered name, without pretrained weights."""
    model = get_model(name, weights=None, weights_backbone=None, num_classes=classes)
    assert isinstance(model, nn.Module)
    return model
