"""Does the network of the recipe fit the data of the recipe? Asked before the first step."""

from torch import nn

from lightning_cv.contracts import DataInfo
from lightning_cv.errors import UserError
from lightning_cv.networks import num_classes


def check_network_fits_data(network: nn.Module, info: DataInfo) -> None:
    """Compare what the network states with what the data publish.

    Raises:
        UserError: the number of classes or of channels differs; names the key and the value to set.
    """
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


def _shorten(names: tuple[str, ...]) -> str:
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
