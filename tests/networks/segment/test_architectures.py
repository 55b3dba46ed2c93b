"""Segmentation networks are those of the papers: sizes, receptive fields, forms that must agree."""

import math

import pytest
import segmentation_models_pytorch as library
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models import segmentation as of_torchvision

from lightning_cv.errors import UserError
from lightning_cv.losses import PixelCrossEntropy
from lightning_cv.networks import num_classes, start_head
from lightning_cv.networks.blocks.bilinear_convolution import BilinearConvolution
from lightning_cv.networks.head import find_heads
from lightning_cv.networks.segment import (
    ConstantResolution,
    DilatedFeatures,
    Fcn,
    FeatureMaps,
    PspNet,
    SegNet,
    SlidingWindow,
    UNet,
)
from lightning_cv.networks.segment.scores import pixel_scores
from lightning_cv.networks.segment.unet import mirrored
from lightning_cv.ops.unpool import bed_of_nails
from tests.tolerances import assert_close

NO_WEIGHTS = {"weights": None, "weights_backbone": None, "num_classes": 21}


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("make", "count"),
    [
        (lambda: UNet(num_classes=2, in_channels=1), 31_030_658),  # row 217
        (lambda: PspNet(num_classes=21, backbone="resnet50"), 46_592_597),  # row 215
        (lambda: of_torchvision.fcn_resnet50(**NO_WEIGHTS, aux_loss=True), 35_322_218),  # row 209
        (lambda: of_torchvision.fcn_resnet50(**NO_WEIGHTS, aux_loss=False), 32_957_013),
        (lambda: of_torchvision.deeplabv3_resnet50(**NO_WEIGHTS, aux_loss=True), 42_004_074),  # row 218
        (lambda: of_torchvision.deeplabv3_resnet50(**NO_WEIGHTS, aux_loss=False), 39_638_869),
        (lambda: library.FPN("resnet50", encoder_weights=None, classes=21), 26_118_613),  # row 216
        (lambda: library.Unet("resnet34", encoder_weights=None), 24_436_369),
    ],
    ids=["unet", "pspnet", "fcn_aux", "fcn", "deeplab_aux", "deeplab", "fpn", "unet_resnet34"],
)
def test_number_of_parameters_is_the_published_one(make, count):
    """rows 209, 215, 216, 217, 218: counted from the papers' layers, or by the library's authors."""
    with torch.device("meta"):
        assert parameters(make()) == count


@pytest.mark.parametrize("name", ["fcn_resnet50", "deeplabv3_resnet50"])
def test_networks_of_torchvision_score_with_both_heads(name):
    """rows 209, 218: main scores first, as large as the image; both heads are found and can be started."""
    network = getattr(of_torchvision, name)(**{**NO_WEIGHTS, "num_classes": 5}, aux_loss=True)
    assert num_classes(network) == 5
    assert [head.out_channels for head in find_heads(network)] == [5, 5]
    heads = pixel_scores(network, torch.randn(2, 3, 48, 40), divisible_by=8)
    assert [scores.shape for scores in heads] == [(2, 5, 48, 40)] * 2
    alone = getattr(of_torchvision, name)(**{**NO_WEIGHTS, "num_classes": 5}, aux_loss=False)
    assert len(pixel_scores(alone.eval(), torch.randn(1, 3, 32, 32))) == 1


@pytest.mark.parametrize(
    "make",
    [
        lambda encoder: library.Unet(encoder, encoder_weights=None, classes=5),
        lambda encoder: library.FPN(encoder, encoder_weights=None, classes=5),
        lambda encoder: library.UPerNet(encoder, encoder_weights=None, classes=5),
    ],
    ids=["unet", "fpn", "upernet"],
)
@pytest.mark.parametrize("encoder", ["resnet18", "tu-resnet10t", "tu-mobilenetv3_small_050"])
def test_networks_of_the_library_take_any_encoder(make, encoder):
    """rows 216, 217: one name changes the encoder, also to one of timm; any size by padding."""
    network = make(encoder)
    assert num_classes(network) == 5
    (scores,) = pixel_scores(network.eval(), torch.randn(1, 3, 70, 50), divisible_by=32)
    assert scores.shape == (1, 5, 70, 50)


def test_segformer_scores_any_size():
    network = library.Segformer("mit_b0", encoder_weights=None, classes=150)
    assert num_classes(network) == 150
    (scores,) = pixel_scores(network.eval(), torch.randn(1, 3, 70, 50), divisible_by=32)
    assert scores.shape == (1, 150, 70, 50)


def test_the_head_of_a_library_network_can_be_started():
    """rows 124, 216: of FPN with ResNet-50 and 21 classes, far from ln C as it comes, and ln C once started."""
    torch.manual_seed(0)
    network = library.FPN("resnet50", encoder_weights=None, classes=21).eval()
    images, classes = torch.randn(2, 3, 64, 64), torch.randint(21, (2, 64, 64))
    with torch.no_grad():
        before = PixelCrossEntropy()(network(images), classes).item() / math.log(21)
        start_head(network)
        after = PixelCrossEntropy()(network(images), classes).item() / math.log(21)
    assert before > 1.1
    assert after == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("said", [torch.zeros(2, 5), {"aux": torch.zeros(2, 5, 8, 8)}, None])
def test_what_scores_no_pixels_is_named(said):
    class Other(nn.Module):
        def forward(self, images):
            return said

    with pytest.raises(UserError, match="Other gives no scores of pixels"):
        pixel_scores(Other(), torch.zeros(2, 3, 8, 8))


# The U-Net.


def test_unet_with_mirrored_borders_is_that_of_the_paper():
    """row 217: 572 pixels give 388 scores; margins of 92 around 388 pixels are mirrored."""
    network = UNet(width=2, border="mirror").eval()
    with torch.no_grad():
        assert network._scores(torch.zeros(1, 1, 572, 572)).shape == (1, 2, 388, 388)
    assert network._margins(388) == (92, 92)


def test_unet_scores_of_tiles_are_those_of_the_whole_image():
    """The overlap-tile strategy: a tile with the pixels around it has the scores that it has within the image."""
    torch.manual_seed(0)
    network = UNet(width=4, levels=3, border="mirror", batch_norm=True).eval().double()
    image = torch.randn(1, 1, 100, 120, dtype=torch.float64)
    with torch.no_grad():
        whole = network(image)
        # A tile may begin wherever the deepest level has a pixel: every 4 pixels.
        before, behind = network._margins(40)
        top, left = 28, 32
        around = image[..., top - before : top + 40 + behind, left - before : left + 40 + behind]
        tile = network._scores(around)[..., :40, :40]
    assert_close(tile, whole[..., top : top + 40, left : left + 40])


def test_unet_lays_the_middle_of_what_it_saw_beside():
    """Symmetric kernels: the mirror image of an image has the mirror image of its scores, so no crop is off by one."""
    torch.manual_seed(0)
    network = UNet(width=2, levels=3, border="mirror").eval().double()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 4:
                parameter.copy_((parameter + parameter.flip(-1)) / 2)
        image = torch.randn(1, 1, 92, 92, dtype=torch.float64)
        assert_close(network._scores(image.flip(-1)), network._scores(image).flip(-1))


@pytest.mark.parametrize("size", [(1, 1), (5, 9), (33, 64), (96, 100)])
def test_unet_with_mirrored_borders_takes_any_size(size):
    network = UNet(width=2, levels=4, border="mirror").eval()
    with torch.no_grad():
        assert network(torch.zeros(1, 1, *size)).shape == (1, 2, *size)


def test_a_mirror_is_torchs_reflection_and_goes_on_beyond_it():
    image = torch.arange(12.0).view(1, 1, 3, 4)
    assert torch.equal(mirrored(image, (2, 3, 1, 2)), F.pad(image, (2, 3, 1, 2), mode="reflect"))
    row = mirrored(image[..., :1, :3], (5, 4, 0, 0))[0, 0, 0].tolist()
    assert row == [1, 0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2]


# Ways to make maps larger.


def test_bed_of_nails_keeps_the_sum():
    """row 210: the sum is preserved, three quarters are zeros, values at the upper left."""
    maps = torch.rand(2, 3, 4, 5) + 1
    large = bed_of_nails(maps)
    assert large.shape == (2, 3, 8, 10)
    assert_close(large.sum(), maps.sum())
    assert (large == 0).float().mean() == 0.75
    assert torch.equal(large[..., ::2, ::2], maps)


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
def test_interpolation_keeps_a_constant_image(mode):
    """row 211: constants are preserved; a linear ramp is exact inside for bilinear."""
    network = SegNet(2, widths=(4, 4), convolutions=(1, 1), unpooling=mode)
    constant = torch.full((1, 4, 6, 6), 3.0)
    assert_close(network._enlarged(constant, torch.zeros(0), 0), torch.full((1, 4, 12, 12), 3.0))
    if mode == "bilinear":
        ramp = torch.arange(6.0).expand(1, 4, 6, 6)
        large = network._enlarged(ramp, torch.zeros(0), 0)
        middles = (torch.arange(12.0) + 0.5) / 2 - 0.5
        assert_close(large[0, 0, 3, 1:-1], middles[1:-1])


def test_max_unpooling_returns_values_to_where_they_came_from():
    """row 212: pooled values lie at their maxima, and pooling again gives the same."""
    network = SegNet(2, widths=(4, 4), convolutions=(1, 1))
    maps = torch.randn(2, 4, 8, 8)
    pooled, indices = F.max_pool2d(maps, 2, return_indices=True)
    large = network._enlarged(pooled, indices, 0)
    assert torch.equal(large[large != 0], maps[large != 0])
    assert (large != 0).sum() == pooled.numel()
    assert torch.equal(F.max_pool2d(large + (large == 0) * -100, 2), pooled)


def test_transposed_convolution_is_the_transpose_and_no_inverse():
    """row 213: <C x, y> = <x, C' y>; C' C x is another image than x. FCN's starts as bilinear interpolation."""
    torch.manual_seed(0)
    weight = torch.randn(3, 2, 4, 4, dtype=torch.float64)
    x, y = torch.randn(1, 2, 10, 10, dtype=torch.float64), torch.randn(1, 3, 5, 5, dtype=torch.float64)
    down = F.conv2d(x, weight, stride=2, padding=1)
    up = F.conv_transpose2d(y, weight, stride=2, padding=1)
    assert_close((down * y).sum(), (x * up).sum())
    assert (F.conv_transpose2d(down, weight, stride=2, padding=1) - x).norm() > 0.5 * x.norm()
    maps = torch.randn(2, 3, 6, 7)
    expected = F.interpolate(maps, scale_factor=2.0, mode="bilinear", align_corners=False)
    assert_close(BilinearConvolution()(maps)[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1])


@pytest.mark.parametrize("unpooling", ["max", "transposed", "bed_of_nails", "nearest", "bilinear", "bicubic"])
def test_segnet_trains_with_every_way_up(unpooling):
    """rows 210, 211, 212, 213: every parameter gets a gradient, and scores differ from way to way."""
    torch.manual_seed(0)
    network = SegNet(3, widths=(4, 6), convolutions=(2, 1), unpooling=unpooling)
    network(torch.randn(2, 3, 16, 16)).square().mean().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in network.parameters())
    assert bool(network.learned) == (unpooling == "transposed")


def test_segnet_has_the_convolutions_of_vgg16_twice():
    """Badrinarayanan et al. 2017, section 3: 13 layers, and one decoder layer for each."""
    network = SegNet(12)
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    assert len(convolutions) == 26
    assert [c.out_channels for c in convolutions[:13]] == [64, 64, 128, 128, *[256] * 3, *[512] * 6]


# Constant resolution, dilation and sliding windows.


def reach(network: nn.Module, side: int) -> tuple[int, int]:
    """Height of the square of pixels on which the middle score depends, and how many of them count."""
    image = torch.ones(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    network.double().eval()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.ones_(module.weight)
    network(image)[0, 0, side // 2, side // 2].backward()
    seen = (image.grad[0, 0] != 0).nonzero()
    return int(seen[:, 0].max() - seen[:, 0].min()) + 1, len(seen)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_the_receptive_field_of_constant_resolution_is_linear_in_depth(depth):
    """row 208: 1 + 2 L pixels, by the gradient of a score."""
    network = ConstantResolution(2, width=3, dilations=[1] * depth)
    assert reach(network, 31)[0] == 1 + 2 * depth == network.receptive_field_px


def test_a_dilated_convolution_reaches_further_with_as_many_weights():
    """row 214: extent 5 with 3 taps a side, as many parameters; dilations that double reach exponentially far."""
    plain, dilated = ConstantResolution(2, width=3, dilations=[1]), ConstantResolution(2, width=3, dilations=[2])
    assert parameters(plain) == parameters(dilated)
    assert reach(plain, 31) == (3, 9)
    assert reach(dilated, 31) == (5, 9)
    far = ConstantResolution(2, width=3, dilations=[1, 2, 4, 8])
    assert reach(far, 63)[0] == 31 == far.receptive_field_px


@pytest.mark.parametrize(("patch_px", "depth"), [(5, 1), (9, 3), (15, 4)])
def test_sliding_windows_are_the_fully_convolutional_form(patch_px, depth):
    """row 207: the classifier of the middle pixel of each window, asked window by window, gives the same scores."""
    torch.manual_seed(0)
    whole = SlidingWindow(4, patch_px=patch_px, depth=depth, width=6, hidden_width=8)
    each = SlidingWindow(4, patch_px=patch_px, depth=depth, width=6, hidden_width=8, form="windows")
    each.load_state_dict(whole.state_dict())
    images = torch.randn(2, 3, 11, 13)
    assert_close(each(images), whole(images))
    image = F.pad(images[:1], [patch_px // 2] * 4)
    alone = whole.classify(image[..., 3 : 3 + patch_px, 7 : 7 + patch_px])
    assert_close(alone[0, :, 0, 0], whole(images)[0, :, 3, 7])


# PSPNet and its features.


def test_pspnet_sees_the_whole_image_in_bins_of_four_sizes():
    """row 215: bins of 1, 2, 3 and 6; a far pixel changes every score by way of the coarsest."""
    network = PspNet(3, width=16).eval()
    assert [pool[0].output_size for pool in network.pools] == [1, 2, 3, 6]
    image = torch.randn(1, 3, 96, 96)
    image.requires_grad_()
    network(image)[0, 0, 0, 0].backward()
    assert image.grad[..., -8:, -8:].abs().sum() > 0


def test_pspnet_trains_on_a_single_image():
    """Where a bin has one value a channel, its batch norm takes what it has learned: torch's refuses."""
    network = PspNet(3, width=16, auxiliary=True).train()
    scores, auxiliary = network(torch.randn(1, 3, 64, 64))
    assert scores.shape == auxiliary.shape == (1, 3, 64, 64)
    assert not isinstance(network.eval()(torch.randn(1, 3, 64, 64)), tuple)


@pytest.mark.parametrize("name", ["small", "resnet50", "timm/resnet10t", "timm/mobilenetv3_small_050"])
def test_dilated_features_stay_at_an_eighth(name):
    """row 214: both maps at stride 8, with the channels that it says."""
    features = DilatedFeatures(name).eval()
    before, last = features(torch.randn(1, 3, 64, 96))
    assert before.shape == (1, features.channels[0], 8, 12)
    assert last.shape == (1, features.channels[1], 8, 12)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: DilatedFeatures("resnet18"), "resnet18"),
        (lambda: DilatedFeatures("vgg16"), "vgg16"),
        (lambda: DilatedFeatures("timm/no_such"), "timm/no_such"),
        (lambda: DilatedFeatures("small", weights="DEFAULT"), "small"),
        (lambda: PspNet(3, "timm/vit_tiny_patch16_224"), "vit_tiny_patch16_224"),
        (lambda: Fcn(3, stride=5), "stride: 5"),
        (lambda: SegNet(3, widths=(4,), convolutions=(1, 1)), "widths"),
        (lambda: SegNet(3, unpooling="up"), "unpooling: up"),
        (lambda: SlidingWindow(3, patch_px=8), "patch_px: 8"),
        (lambda: SlidingWindow(3, form="slow"), "form: slow"),
        (lambda: ConstantResolution(3, dilations=[0]), "dilations"),
        (lambda: UNet(levels=1), "levels 1"),
    ],
)
def test_a_wrong_option_is_named(make, named):
    with pytest.raises(UserError, match=named):
        make()


def test_fcn_takes_any_backbone_and_stride():
    """row 209: the finest features of stride 4, 8, 16 or 32; those before train nothing in the head."""
    torch.manual_seed(0)
    for stride, levels in ((32, 1), (16, 2), (8, 3), (4, 4)):
        network = Fcn(3, FeatureMaps("timm/resnet10t"), stride=stride).eval()
        assert len(network.scores) == levels
        assert network(torch.randn(1, 3, 64, 64)).shape == (1, 3, 64, 64)
