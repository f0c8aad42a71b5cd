"""Nets, built without weights: torchvision's segmentation families and our own small FCN.

In: a number of classes C. Out: a module that maps float (B, 3, H, W), normalised RGB, to {"out": logits (B, C, H, W)}.
Every net is built without auxiliary head (it serves training alone) and never downloads anything.
Knows nothing of weights, class names, files or pictures. Imports torch: import it only where a net is needed.
"""

from torch import nn
from torchvision.models import get_model, mobilenet_v2
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.segmentation.fcn import FCN, FCNHead


def fcn_mobilenet_v2(classes: int) -> nn.Module:
    """FCN (Long et al. 2015) on MobileNetV2 (Sandler et al. 2018) at output stride 16.

    The stride of block 14 is taken out and blocks 15 to 17 are dilated instead (as in DeepLab), so that the map of
    320 channels before the head has 1/16 of the input's side and not 1/32.
    """
    blocks = mobilenet_v2(weights=None).features[:18]
    blocks[14].conv[1][0].stride = (1, 1)
    for index in (15, 16, 17):
        depthwise = blocks[index].conv[1][0]
        depthwise.dilation, depthwise.padding = (2, 2), (2, 2)
    net: nn.Module = FCN(IntermediateLayerGetter(blocks, {"17": "out"}), FCNHead(320, classes))
    return net


def from_torchvision(name: str, classes: int) -> nn.Module:
    """A net of torchvision.models.segmentation by its registered name."""
    net = get_model(name, weights=None, weights_backbone=None, num_classes=classes)
    assert isinstance(net, nn.Module)
    return net
