"""Does the network of the recipe fit the data of the recipe? Asked before the first step."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from torch import Tensor, nn

from lightning_cv.contracts import IMAGE, Batch, Batches, DataInfo, FitsImages, GenerativeNetwork, ShowsImages
from lightning_cv.errors import UserError
from lightning_cv.networks import num_classes
from lightning_cv.networks.blocks.feature_maps import FeatureMaps


def check_network_fits_data(network: nn.Module, info: DataInfo) -> None:
    """Compare what the network states with what the data publish.

    Raises:
        UserError: the number of classes or of channels differs, or the network wants values in [0, 1] and the data are
            normalized; names the key and the value to set.
    """
    if getattr(network, "takes_unit_range", False) and (any(info.mean) or any(std != 1 for std in info.std)):
        raise UserError(
            f"model.init_args.network: {type(network).__name__} takes images in [0, 1], and those of the data are "
            "normalized: set data.init_args.normalize to false"
        )
    stated = num_classes(network)
    wanted = info.num_classes
    # One score is enough for two classes: the logit of the second.
    if stated is not None and stated != wanted and not (stated == 1 and wanted == 2):
        raise UserError(
            f"model.init_args.network: {type(network).__name__} has {stated} classes, but the data have {wanted}"
            f" ({_shorten(info.class_names)}): set its num_classes to {wanted}"
        )
    convolution = next((m for m in network.modules() if isinstance(m, nn.Conv2d)), None)
    if convolution is not None and convolution.in_channels != info.channels:
        raise UserError(
            f"model.init_args.network: {type(network).__name__} takes {convolution.in_channels} channels, but the"
            f" images have {info.channels}: set the network's input channels, or data.init_args.channels where the"
            " data set has it"
        )


def check_detector_fits_data(network: nn.Module, info: DataInfo) -> None:
    """Compare what a detector finds with what the data hold.

    Raises:
        UserError: it is no detector, or the data lack objects, masks or keypoints, or have other classes.
    """
    name, finds = type(network).__name__, getattr(network, "finds", None)
    if finds is None:
        raise UserError(
            f"model.init_args.network: {name} is no detector; allowed: those of lightning_cv.networks.detect"
        )
    if not info.objects:
        raise UserError("data: images with labels, and Detect needs images with objects; allowed: Scenes, Coco, ...")
    if network.num_classes != info.num_classes:
        raise UserError(
            f"model.init_args.network: {name} has {network.num_classes} classes, but the data have {info.num_classes}"
            f" ({_shorten(info.class_names)}): set its num_classes to {info.num_classes}"
        )
    if "mask" in finds and not info.masks:
        raise UserError(
            f"model.init_args.network: {name} needs masks, and the data give none; set data.init_args.masks to true"
        )
    if "keypoint" not in finds:
        return
    if info.keypoints is None:
        raise UserError(
            f"model.init_args.network: {name} needs keypoints, and the data give none; set data.init_args.keypoints to "
            "true"
        )
    number = getattr(network, "num_keypoints", len(info.keypoints.names))
    if number != len(info.keypoints.names):
        raise UserError(
            f"model.init_args.network: {name} has {number} keypoints, but the data have {len(info.keypoints.names)}: "
            f"set its num_keypoints to {len(info.keypoints.names)}"
        )


def check_segmenter_fits_data(network: nn.Module, info: DataInfo) -> None:
    """Compare the scores that a network gives with the classes of the data's pixels.

    Raises:
        UserError: pixels have no classes, or the number of classes or of channels differs.
    """
    if info.pixels is None:
        raise UserError(
            "data: their pixels have no classes, and Segment needs them; allowed: Scenes (truth: semantic), MaskFolder"
            ", ..."
        )
    check_network_fits_data(network, info)


def check_panoptic_fits_data(network: nn.Module, info: DataInfo) -> None:
    """Compare the classes of a panoptic network with those of the data's segments.

    Raises:
        UserError: it is none, pixels have no segments, or classes or things differ.
    """
    name, things = type(network).__name__, getattr(network, "things", None)
    if things is None:
        raise UserError(f"model.init_args.network: {name} is no panoptic network; allowed: such as PanopticFpn")
    if info.pixels is None or info.pixels.things is None:
        raise UserError(
            "data: their pixels have no segments, and PanopticSegment needs them; allowed: Scenes (truth: panoptic), "
            "CocoPanoptic"
        )
    if len(things) != info.num_classes:
        raise UserError(
            f"model.init_args.network: {name} has {len(things)} classes, but the data have {info.num_classes}"
            f" ({_shorten(info.class_names)}): set its num_classes to {info.num_classes}"
        )
    if things != info.pixels.things:
        raise UserError(
            f"model.init_args.network: {name} has other things than the data: set its things to "
            f"{_ranges(info.pixels.things)}"
        )


def check_generator_fits_data(network: GenerativeNetwork, info: DataInfo) -> None:
    """Compare the images that a generative network makes with those of the data.

    Raises:
        UserError: the size, or of a conditional network the number of classes, differs; or images have no one class.
    """
    name, size = type(network).__name__, (info.channels, *info.size_px)
    if tuple(network.image) != size:
        raise UserError(
            f"model.init_args.network: {name} makes images {list(network.image)}, but those of the data are "
            f"{list(size)}: set its image to {list(size)}"
        )
    if network.num_classes is None:
        return
    if info.objects or info.pixels is not None or info.multilabel:
        raise UserError(
            f"model.init_args.network: {name} is conditional, and the images of the data have no one class: set its "
            "num_classes to null"
        )
    if network.num_classes != info.num_classes:
        raise UserError(
            f"model.init_args.network: {name} has {network.num_classes} classes, but the data have {info.num_classes}"
            f" ({_shorten(info.class_names)}): set its num_classes to {info.num_classes}, or to null"
        )


def outside_of_feature_maps(network: nn.Module) -> nn.Module:
    """A module with the parameters of a network outside of its `FeatureMaps`.

    Raises:
        UserError: it has none.
    """
    backbones = [module for module in network.modules() if isinstance(module, FeatureMaps)]
    if not backbones:
        raise UserError(
            f"model.init_args.backbone_lr_factor: {type(network).__name__} has no FeatureMaps; allowed: 1.0"
        )
    return _outside_of(backbones, network)


def outside_of_backbone(network: nn.Module) -> nn.Module:
    """A module with the parameters of a network outside of its `encoder` or `backbone`.

    Raises:
        UserError: it has neither.
    """
    backbone = getattr(network, "encoder", None) or getattr(network, "backbone", None)
    if not isinstance(backbone, nn.Module):
        raise UserError(
            f"model.init_args.backbone_lr_factor: {type(network).__name__} has no encoder or backbone; allowed: 1.0"
        )
    return _outside_of([backbone], network)


def _outside_of(parts: Sequence[nn.Module], network: nn.Module) -> nn.Module:
    inside = {id(parameter) for part in parts for parameter in part.parameters()}
    return nn.ParameterList([parameter for parameter in network.parameters() if id(parameter) not in inside])


def fit_to_images(network: nn.Module, data: object, taken: Callable[[Tensor], Tensor] = lambda images: images) -> None:
    """Let the parts of a network that want to see the training images before training see them, outermost first.

    Args:
        network: whose parts they are.
        data: the data module.
        taken: what the network takes of normalized images.

    Raises:
        UserError: the data module does not show its images.
    """
    for name, part in _outermost(network):
        if not isinstance(data, ShowsImages):
            raise UserError(
                f"model.init_args.network: {name} looks at the training images before training, "
                f"and {type(data).__name__} does not show them; allowed: the data sets of lightning_cv.data"
            )
        part.fit_images(_batches(data, taken))


def _batches(data: ShowsImages, taken: Callable[[Tensor], Tensor]) -> Batches:
    def batches() -> Iterator[Batch]:
        for batch in data.training_images():
            yield {**batch, IMAGE: taken(batch[IMAGE])}

    return batches


def _outermost(network: nn.Module, name: str = "network") -> Iterator[tuple[str, FitsImages]]:
    """Parts that fit images, without those inside of them."""
    if isinstance(network, FitsImages):
        yield name, network
        return
    for below, child in network.named_children():
        yield from _outermost(child, f"{name}.{below}")


def _ranges(flags: tuple[bool, ...]) -> list[list[int]]:
    """From the first to before the last of each run of true ones."""
    edges = [place for place, (a, b) in enumerate(pairwise((False, *flags, False))) if a != b]
    return [list(pair) for pair in zip(edges[::2], edges[1::2], strict=True)]


def _shorten(names: tuple[str, ...]) -> str:
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
