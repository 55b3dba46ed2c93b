"""DETR: a transformer says the whole set of objects at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import box_convert

from lightning_cv.contracts import Detections, Objects
from lightning_cv.errors import UserError
from lightning_cv.networks.blocks.feature_maps import STRIDES, FeatureMaps
from lightning_cv.networks.detect.base import BatchDetector, Features

_WEIGHTS = {"loss_ce": 1.0, "loss_bbox": 5.0, "loss_giou": 2.0}  # Carion et al. 2020, appendix A.4


class Detr(BatchDetector):
    """DETR: set prediction by a transformer with object queries (Carion et al. 2020; rows 196, 197).

    The transformer, the bipartite matching and the losses are those of Hugging Face transformers, the backbone is any
    of `FeatureMaps`. Losses, weights 1, 5 and 2 in them: `loss_ce` over all queries, those without an object counting
    a tenth, `loss_bbox` (L1) and `loss_giou` of those with one; with `auxiliary`, the sum of the same of all earlier
    layers of the decoder as `loss_auxiliary`.

    Args:
        num_classes: without "no object".
        backbone: sees the image; published: resnet50, frozen norms, 3 trainable stages.
        stride: of the feature map that the transformer reads.
        queries: objects that can be found.
        layers: of the encoder and of the decoder.
        width: of a token.
        heads: of each attention.
        hidden_width: of the two-layer networks in each layer.
        dropout: in the transformer, 0 to 1.
        auxiliary: train all layers of the decoder.
    """

    example_input: ClassVar[tuple[int, int, int]] = (3, 64, 64)

    def __init__(
        self,
        num_classes: int = 10,
        *,
        backbone: FeatureMaps | None = None,
        stride: Literal[8, 16, 32] = 32,
        queries: int = 100,
        layers: int = 6,
        width: int = 256,
        heads: int = 8,
        hidden_width: int = 2048,
        dropout: float = 0.1,
        auxiliary: bool = True,
    ) -> None:
        super().__init__(num_classes)
        if stride not in STRIDES or width % heads or width % 2:
            raise UserError(
                f"Detr: stride {stride}, width {width}, heads {heads} given, allowed: strides 4, 8, 16, 32 and an even "
                "width that the heads divide"
            )
        # Imported late: two seconds that no other detector needs.
        import transformers

        make: Any = transformers.DetrConfig  # its type knows fewer options than it takes
        config = make(
            # A small one, put aside for ours at once.
            backbone_config={
                "model_type": "timm_backbone",
                "backbone": "resnet18",
                "use_pretrained_backbone": False,
                "out_indices": [1],
            },
            num_queries=queries,
            encoder_layers=layers,
            decoder_layers=layers,
            encoder_ffn_dim=hidden_width,
            decoder_ffn_dim=hidden_width,
            encoder_attention_heads=heads,
            decoder_attention_heads=heads,
            d_model=width,
            dropout=dropout,
            auxiliary_loss=auxiliary,
            num_labels=num_classes,
        )
        self.model: Any = transformers.DetrForObjectDetection(config)
        encoder = _Backbone(backbone or FeatureMaps(), STRIDES.index(stride))
        self.model.model.backbone = encoder
        self.model.model.input_projection = nn.Conv2d(encoder.channels, width, 1)

    def encode(self, images: ImageList) -> Features:
        """Logits (B, queries, C + 1) and boxes (B, queries, 4), and those of earlier layers of the decoder."""
        mask = torch.zeros_like(images.tensors[:, 0], dtype=torch.int64)
        for row, (height, width) in zip(mask, images.image_sizes, strict=True):
            row[:height, :width] = 1
        inner = self.model.model(images.tensors, pixel_mask=mask)
        states = inner.intermediate_hidden_states
        layers = inner.last_hidden_state[None] if states is None else states  # (layers, B, queries, width)
        logits = self.model.class_labels_classifier(layers).transpose(0, 1)
        boxes = self.model.bbox_predictor(layers).sigmoid().transpose(0, 1)
        return {"logits": logits.float(), "boxes": boxes.float()}

    def losses(self, images: ImageList, features: Features, objects: Sequence[Objects]) -> dict[str, Tensor]:
        """See `BatchDetector`."""
        size = _as_shares(images, images.tensors.device)
        targets = [
            {"class_labels": each.labels, "boxes": box_convert(each.boxes / share, "xyxy", "cxcywh")}
            for each, share in zip(objects, size, strict=True)
        ]
        by_layer = [
            self._set_losses(logits, boxes, targets)
            for logits, boxes in zip(features["logits"].unbind(1), features["boxes"].unbind(1), strict=True)
        ]
        losses = dict(by_layer[-1])
        if len(by_layer) > 1:
            earlier = [value for each in by_layer[:-1] for value in each.values()]
            losses["loss_auxiliary"] = torch.stack(earlier).sum()
        return losses

    def detect(self, images: ImageList, features: Features) -> list[Detections]:
        """One detection a query, its best class."""
        scores, labels = features["logits"][:, -1].softmax(-1)[..., :-1].max(-1)
        boxes = box_convert(features["boxes"][:, -1], "cxcywh", "xyxy").clamp(0, 1) * _as_shares(
            images, images.tensors.device
        )
        order = scores.argsort(dim=1, descending=True, stable=True)
        return [Detections(b[o], s[o], n[o]) for b, s, n, o in zip(boxes, scores, labels, order, strict=True)]

    def _set_losses(self, logits: Tensor, boxes: Tensor, targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        from transformers.loss.loss_for_object_detection import HungarianMatcher, ImageLoss

        matcher = HungarianMatcher(class_cost=1, bbox_cost=5, giou_cost=2)
        criterion = ImageLoss(matcher, self.num_classes, eos_coef=0.1, losses=["labels", "boxes"]).to(logits.device)
        said = criterion({"logits": logits, "pred_boxes": boxes}, targets)
        return {name: weight * said[name] for name, weight in _WEIGHTS.items()}


class _Backbone(nn.Module):
    """One feature map, and which of its places lie in the image, as DETR's model asks for them."""

    def __init__(self, maps: FeatureMaps, level: int) -> None:
        super().__init__()
        self.maps = maps.without_stages_beyond(level)
        self.channels = maps.channels[level]
        self._level = level

    def forward(self, images: Tensor, mask: Tensor) -> list[tuple[Tensor, Tensor]]:
        feature = self.maps(images)[self._level]
        inside = nn.functional.interpolate(mask[None].float(), size=feature.shape[-2:]).to(torch.bool)[0]
        return [(feature, inside)]


def _as_shares(images: ImageList, device: torch.device) -> Tensor:
    """(B, 1, 4): what divides pixels of the corners of boxes to make them shares of each image."""
    sizes = [[width, height, width, height] for height, width in images.image_sizes]
    return torch.tensor(sizes, dtype=torch.float32, device=device)[:, None]
