"""What does the network that papers measure FID with make of images?"""

from pathlib import Path
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import Inception_V3_Weights, inception_v3

from lightning_cv.contracts import Batches, DataInfo
from lightning_cv.errors import UserError
from lightning_cv.networks.features.base import Features

_SIZE_PX = 299


class InceptionFeatures(Features):
    """The 2,048 pooled features of torchvision's Inception v3, which learned the 1,000 classes of ImageNet.

    Its distances are not those of papers, whose Inception is TensorFlow's of 2015, with other weights and pooling:
    compare them among themselves. Images are resized to 299 px, bilinearly and with antialiasing; grey ones are taken
    for coloured ones. The weights (104 MB) are downloaded when a training starts, where torch's cache lacks the file,
    and then travel in its checkpoints.

    Raises:
        UserError: in `fit_images`, the weights can be had neither from the cache nor from the network.
    """

    example_input: ClassVar[tuple[int, int, int]] = (3, 299, 299)
    num_features = 2048

    def __init__(self) -> None:
        super().__init__()
        # What its own `transform_input` does to images normalized for ImageNet, is to have them in [-1, 1].
        network = cast(Any, inception_v3(weights=None, transform_input=False, init_weights=False))
        network.fc = nn.Identity()
        network.aux_logits, network.AuxLogits = False, None
        self.network: nn.Module = network.requires_grad_(False).eval()

    @property
    def name(self) -> str:
        """Which one, for tables."""
        return "Inception v3 of torchvision"

    def check_data(self, info: DataInfo) -> None:
        """See `Features`."""
        if info.channels not in (1, 3):
            raise UserError(
                f"quality: InceptionFeatures takes images of 1 or 3 channels; the data have {info.channels}"
            )

    def find(self, batches: Batches) -> None:
        """Load the published weights."""
        published = Inception_V3_Weights.IMAGENET1K_V1
        try:
            state = published.get_state_dict(progress=False, check_hash=True)
        except (OSError, RuntimeError) as error:
            cache = Path(torch.hub.get_dir()) / "checkpoints"
            raise UserError(
                f"InceptionFeatures: no weights from {published.url} ({error!s:.60}); allowed: that file in {cache}, "
                "or other features"
            ) from error
        used = self.network.state_dict()
        self.network.load_state_dict({name: value for name, value in state.items() if name in used})

    def features(self, images: Tensor) -> Tensor:
        """What goes into its head."""
        colored = images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images
        resized = F.interpolate(colored, (_SIZE_PX, _SIZE_PX), mode="bilinear", antialias=True, align_corners=False)
        features: Tensor = self.network(resized * 2 - 1)
        return features
