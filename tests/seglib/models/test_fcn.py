"""Our own nets: SegNet's indices by hand, gradients, U-Net's ways up, the FCN that sees the whole picture."""

import copy

import pytest
import torch

from seglib.errors import UnknownName
from seglib.models import layers, optimize, registry, segnet
from seglib.models.fcn import ContextHead, fcn_mobilenet_v2
from seglib.models.unet import UPSAMPLING, unet_mobilenet_v2, upsampler

OWN = [
    ("fcn_mobilenet_v2", (("head", "conv"),), 16),
    ("fcn_mobilenet_v2", (("head", "context"),), 8),
    ("fcn_mobilenet_v2", (("head", "fused"),), 8),
    *(("unet_mobilenet_v2", (("upsampling", kind),), 2) for kind in UPSAMPLING),
    ("unet_resnet34", (), 2),
    ("segnet", (), 1),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options", "stride"), OWN)
def test_a_net_gives_logits_of_any_size_and_runs_as_it_was_trained(name, options, stride):
    torch.manual_seed(0)
    net = registry.get_model_builder(name, options)(3).eval()
    picture = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        out = net(picture)["out"]
        prepared = optimize.prepare_for_inference(copy.deepcopy(net), torch.float32)(picture)
        assert out.shape == (1, 3, 64, 96)
        assert prepared.shape == (1, 3, 64 // stride, 96 // stride)
        enlarged = torch.nn.functional.interpolate(prepared, size=(64, 96), mode="bilinear")
        torch.testing.assert_close(enlarged, out, rtol=1e-3, atol=1e-4)
        assert net(torch.randn(1, 3, 45, 71))["out"].shape == (1, 3, 45, 71)


def test_a_choice_that_is_none_lists_the_known():
    with pytest.raises(UnknownName, match="bilinear, transposed, shuffle"):
        unet_mobilenet_v2(2, upsampling="magic")
    with pytest.raises(UnknownName, match="conv, context"):
        fcn_mobilenet_v2(2, head="magic")
    with pytest.raises(UnknownName, match=r"segnet.*unet_resnet34"):
        registry.get_model_builder("magic")


def test_a_fused_head_begins_with_the_scores_of_the_pyramid():
    torch.manual_seed(0)
    model, picture = fcn_mobilenet_v2(3, head="fused").eval(), torch.randn(1, 3, 64, 96)
    head = model.classifier
    with torch.inference_mode():
        maps = model.backbone(picture)
        coarse = head.coarse(head.gather_context(maps["deep"], maps["deep"]))
        assert coarse.shape == (1, 3, 4, 6)
        torch.testing.assert_close(
            model.logits(picture), torch.nn.functional.interpolate(coarse, size=(8, 12), mode="bilinear")
        )
    assert "semantic" not in maps


@pytest.mark.parametrize("kind", UPSAMPLING)
@pytest.mark.parametrize("head", ["context", "fused"])
def test_a_unet_begins_with_the_scores_of_its_coarse_half(kind, head):
    torch.manual_seed(0)
    unet, fcn = unet_mobilenet_v2(3, upsampling=kind, head=head).eval(), fcn_mobilenet_v2(3, head=head).eval()
    fcn.load_state_dict({name: value for name, value in unet.state_dict().items() if name in fcn.state_dict()})
    picture = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        coarse = fcn.logits(picture)
        begun = unet.logits(picture)
        assert begun.shape[2:] == (32, 48)
        enlarged = torch.nn.functional.interpolate(coarse, size=(32, 48), mode="bilinear")
        torch.testing.assert_close(begun, enlarged)
        unet.classifier.finer.weight.normal_()
        assert not torch.allclose(unet.logits(picture), enlarged, atol=1e-2)


def test_a_pixel_shuffle_begins_as_nearest_neighbour():
    up = upsampler("shuffle", 4)
    out = up(torch.randn(2, 4, 3, 5))
    assert out.shape == (2, 4, 6, 10)
    assert torch.equal(out, out[:, :, ::2, ::2].repeat_interleave(2, 2).repeat_interleave(2, 3))


def test_the_picture_as_a_whole_reaches_every_pixel():
    """What stands in one corner changes what is said of the opposite one, farther than any convolution sees."""
    torch.manual_seed(0)
    head = ContextHead(fine=2, deep=3, semantic=4, classes=2).eval()
    maps = {"fine": torch.randn(1, 2, 8, 200), "deep": torch.randn(1, 3, 4, 100), "semantic": torch.randn(1, 4, 4, 100)}
    other = maps | {"semantic": maps["semantic"].clone()}
    other["semantic"][..., -4:] += 5
    with torch.inference_mode():
        assert (head(maps) - head(other))[..., :8].abs().min() > 0


# --- SegNet ---


def test_unpooling_puts_each_maximum_back_where_it_was():
    pool, unpool = torch.nn.MaxPool2d(2, return_indices=True), torch.nn.MaxUnpool2d(2)
    net = segnet.SegNet(2, ((1, 1),))
    assert (type(net.pool), type(net.unpool)) == (type(pool), type(unpool))
    rows = [[1, 2, 3, 4], [8, 7, 6, 5], [1, 1, 9, 1], [1, 2, 1, 1]]
    values, indices = net.pool(torch.tensor(rows, dtype=torch.float32).view(1, 1, 4, 4))
    assert values.flatten().tolist() == [8, 6, 2, 9]
    assert indices.flatten().tolist() == [4, 6, 13, 10]
    assert net.unpool(values * 10, indices)[0, 0].tolist() == [
        [0, 0, 0, 0],
        [80, 0, 60, 0],
        [0, 0, 90, 0],
        [0, 20, 0, 0],
    ]


def test_the_decoder_unpools_with_the_encoders_indices():
    """One stage whose convolutions change nothing: what comes out are the maxima, in their places."""
    net = segnet.SegNet(1, ((1, 1),)).eval()
    with torch.no_grad():
        for conv in (net.backbone[0][0], net.classify):
            conv.weight.zero_()
            conv.weight[:, 0, 1, 1] = 1
            conv.bias.zero_()
    net.classifier[0] = torch.nn.Identity()
    rows = torch.tensor([[1.0, 2, 3, 4], [8, 7, 6, 5], [1, 1, 9, 1], [1, 2, 1, 1]])
    out = net.logits(rows.expand(1, 3, 4, 4))[0, 0]
    wanted = torch.tensor([[0.0, 0, 0, 0], [8, 0, 6, 0], [0, 0, 9, 0], [0, 2, 0, 0]])
    torch.testing.assert_close(out, wanted, rtol=1e-4, atol=1e-4)


def test_segnet_is_vgg16s_encoder_and_its_mirror():
    net = segnet.segnet(21)
    count = {
        part: sum(isinstance(module, torch.nn.Conv2d) for module in getattr(net, part).modules())
        for part in ("backbone", "classifier")
    }
    assert count == {"backbone": 13, "classifier": 12}  # and the one that makes the logits
    shapes = [m.weight.shape[:2] for m in net.modules() if isinstance(m, torch.nn.Conv2d)]
    mirrored = [(a, b) for b, a in reversed(shapes[1:13])]
    assert [tuple(shape) for shape in shapes[13:25]] == mirrored


def test_segnets_gradients_are_right():
    torch.manual_seed(1)
    net = segnet.SegNet(2, ((2, 1), (3, 1))).double().eval()
    picture = torch.randn(1, 3, 4, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(net.logits, (picture,), eps=1e-7, atol=1e-5)
    weight = net.backbone[0][0].weight
    net.logits(picture).square().sum().backward()
    at, by = (0, 1, 2, 2), 1e-6
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            weight[at] += sign * by
            values.append(float(net.logits(picture).square().sum()))
            weight[at] -= sign * by
    assert float(weight.grad[at]) == pytest.approx((values[0] - values[1]) / (2 * by), rel=1e-4)


# --- for training on a CPU ---


@pytest.mark.parametrize(("stride", "dilation"), [(2, 1), (1, 2), (1, 3), (1, 6)])
@pytest.mark.parametrize("size_hw", [(8, 12), (7, 12)])
def test_a_mended_convolution_gives_the_same_numbers_and_gradients(size_hw, stride, dilation):
    torch.manual_seed(0)
    plain = torch.nn.Sequential(torch.nn.Conv2d(6, 6, 3, stride, dilation, dilation, 6, bias=False))
    mended = copy.deepcopy(plain)
    layers.replace_depthwise_convs(mended)
    assert isinstance(mended[0], layers.CpuDepthwiseConv2d)
    assert list(mended.state_dict()) == list(plain.state_dict())
    picture = torch.randn(2, 6, *size_hw)
    grads = []
    for net in (plain, mended):
        x = picture.clone().requires_grad_()
        out = net(x)
        out.square().sum().backward()
        grads.append((out.detach(), x.grad, net[0].weight.grad))
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("dilation", [2, 3, 6])
def test_its_gradient_in_bf16_is_that_of_float32(dilation):
    """Where oneDNN hands out memory that nobody wrote to; the freed NaN make that visible."""
    torch.manual_seed(0)
    plain = torch.nn.Sequential(torch.nn.Conv2d(64, 64, 3, 1, dilation, dilation, 64, bias=False))
    mended = copy.deepcopy(plain)
    layers.replace_depthwise_convs(mended)
    for _ in range(3):
        freed = [torch.full((64 * 9 * k,), float("nan")) for k in range(1, 60)]
        del freed
        picture = torch.randn(4, 64, 22, 32).contiguous(memory_format=torch.channels_last)
        plain(picture).square().mean().backward()
        with torch.autocast("cpu", torch.bfloat16):
            out = mended(picture)
        out.float().square().mean().backward()
        slope, right = mended[0].weight.grad, plain[0].weight.grad
        assert (slope - right).abs().max() < 0.02 * right.abs().max()
        mended.zero_grad()
        plain.zero_grad()


def test_only_depthwise_convolutions_with_a_stride_or_dilated_are_mended():
    net = fcn_mobilenet_v2(2, head="context")
    layers.replace_depthwise_convs(net)
    found = [name for name, module in net.named_modules() if isinstance(module, layers.CpuDepthwiseConv2d)]
    assert found == [
        *(f"backbone.{index}.conv.1.0" for index in (2, 4, 7)),  # with a stride
        *(f"backbone.{index}.conv.1.0" for index in (15, 16, 17)),
        *(f"classifier.around.{index}.0" for index in range(3)),
    ]
