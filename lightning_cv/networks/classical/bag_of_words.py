"""Of which typical patches is an image made?"""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_cv.contracts import IMAGE, Batches
from lightning_cv.errors import UserError
from lightning_cv.networks.blocks.fitted import Fitted


class BagOfVisualWords(Fitted):
    """Share of the patches of an image that each visual word is nearest to, wherever they stand (row 15).

    The words are the centres of scikit-learn's k-means over patches drawn at random from the training images
    (Csurka et al. 2004, on patches instead of descriptors; Coates, Ng and Lee 2011). A patch is compared after its
    mean is taken off, so that words are shapes and not brightness.

    Args:
        channels: C of the images.
        num_words: size of the codebook, 2 or more.
        patch_px: side of a patch in pixels, 1 or more.
        stride_px: pixels between two patches of an image, 1 or more.
        num_patches: how many patches the codebook is found from; at least one is drawn from each image.
        seed: of the patches and of k-means.

    Raises:
        UserError: a value outside its range.
    """

    example_input: ClassVar[tuple[int, int, int]] = (1, 8, 8)
    words: Tensor

    def __init__(
        self,
        channels: int = 1,
        *,
        num_words: int = 64,
        patch_px: int = 4,
        stride_px: int = 1,
        num_patches: int = 20_000,
        seed: int = 0,
    ) -> None:
        super().__init__()
        for name, value, least in (
            ("num_words", num_words, 2),
            ("patch_px", patch_px, 1),
            ("stride_px", stride_px, 1),
            ("num_patches", num_patches, 1),
        ):
            if value < least:
                raise UserError(f"BagOfVisualWords: {name} is {value}; allowed: {least} or more")
        self.channels = channels
        self.num_features = num_words
        self.patch_px = patch_px
        self.stride_px = stride_px
        self.num_patches = num_patches
        self.seed = seed
        self.declare("words")

    def fit_images(self, batches: Batches) -> None:
        """Find the words, (num_words, C patch_px patch_px)."""
        from sklearn.cluster import MiniBatchKMeans  # late: scikit-learn takes a second

        patches = self._draw_patches(batches)
        if len(patches) < self.num_features:
            raise UserError(f"BagOfVisualWords: num_words is {self.num_features}; there are {len(patches)} patches")
        found = MiniBatchKMeans(self.num_features, random_state=self.seed, n_init=1, batch_size=4096).fit(
            patches.numpy()
        )
        self.find("words", torch.from_numpy(found.cluster_centers_).float())

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) to shares (B, num_words) that sum to 1."""
        self.check_found(self.words)
        patches = self._patches(images)
        nearest = torch.cdist(patches.flatten(0, 1), self.words.to(images.dtype)).argmin(dim=1)
        shares = torch.zeros(len(images), self.num_features, device=images.device, dtype=images.dtype)
        ones = torch.ones(patches.shape[:2], device=images.device, dtype=images.dtype)
        return shares.scatter_add_(1, nearest.view(patches.shape[:2]), ones) / patches.shape[1]

    def _patches(self, images: Tensor) -> Tensor:
        """All patches of each image, (B, L, C patch_px patch_px), each without its mean."""
        if images.shape[1] != self.channels or min(images.shape[-2:]) < self.patch_px:
            allowed = f"channels: {self.channels}, of {self.patch_px}x{self.patch_px} pixels or more"
            raise UserError(f"BagOfVisualWords: images are {tuple(images.shape[1:])}; allowed: {allowed}")
        patches = F.unfold(images, self.patch_px, stride=self.stride_px).transpose(1, 2)
        return patches - patches.mean(dim=2, keepdim=True)

    def _draw_patches(self, batches: Batches) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed)
        num_images = sum(len(batch[IMAGE]) for batch in batches())
        each = max(1, self.num_patches // num_images)
        drawn = []
        for batch in batches():
            patches = self._patches(batch[IMAGE].float().cpu())
            chosen = torch.randint(patches.shape[1], (len(patches), each), generator=generator)
            drawn.append(patches[torch.arange(len(patches))[:, None], chosen].flatten(0, 1))
        return torch.cat(drawn)
