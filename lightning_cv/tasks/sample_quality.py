"""How good are the samples of a network, by features of a network that was not trained with it?"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, cast

import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn

from lightning_cv.contracts import (
    IMAGE,
    Batch,
    DataInfo,
    Density,
    FeatureNetwork,
    FitsImages,
    GenerativeNetwork,
    PublishesInfo,
    Recognizes,
    ShowsImages,
    Stage,
)
from lightning_cv.errors import UserError
from lightning_cv.metrics.sample_quality import frechet_distance, kernel_distance, precision_and_recall
from lightning_cv.networks.features import TrainedFeatures
from lightning_cv.ops.draws import OwnDraws
from lightning_cv.ops.processes import gather, rank_and_devices

Networks = Sequence[tuple[str, nn.Module]]


class SampleQuality:
    """Scores of new images against those of a validation or test: what a task of samples alone is judged by.

    `fid` and `kid` are distances of the two sets, the smaller the better; `precision` is the share of samples among the
    real images, `recall` that of real images among the samples; of a conditional network `class_accuracy` is the share
    of samples, of the classes in turn, that the feature network recognizes, where it is a classifier of as many
    classes. Sample i is always drawn from the same numbers, so that two validations differ by the weights alone, and
    scores depend neither on batches nor on the number of devices. They do depend on the features and on the numbers of
    images: compare runs with the same ones.

    A validation costs `num_samples` samples and a pass of the features over as many images and those of the set; make
    it rarer with `trainer.check_val_every_n_epoch`, or cheaper with fewer samples. Features are found before the
    training, travel in its checkpoints, and are none of the trained weights. A task that holds it as its `quality`
    gives images in [0, 1] as targets of a step in scoring; the base does the rest.

    Args:
        features: keeps `contracts.FeatureNetwork`, see `lightning_cv.networks.features`; None: `TrainedFeatures`.
        num_samples: how many images are drawn.
        stages: which sets are compared with; without `val`, the metric that a task watches stays what it is.
        neighbors: k of precision and recall.
        batch_size: how many images a device draws at once.
        seed: of the samples.

    Raises:
        UserError: a value outside its range, or features that are none.
    """

    def __init__(
        self,
        features: nn.Module | None = None,
        *,
        num_samples: int = 1000,
        stages: Sequence[Literal["val", "test"]] = ("val", "test"),
        neighbors: int = 3,
        batch_size: int = 250,
        seed: int = 0,
    ) -> None:
        features = features or TrainedFeatures()
        if not all(hasattr(features, name) for name in ("name", "num_features", "check_data")):
            raise UserError(
                f"quality: features is {type(features).__name__}, which is no feature network; allowed: those of "
                "lightning_cv.networks.features, such as SavedFeatures with a classifier"
            )
        for name, value, least in (
            ("neighbors", neighbors, 1),
            ("num_samples", num_samples, neighbors + 1),
            ("batch_size", batch_size, 1),
        ):
            if value < least:
                raise UserError(f"quality: {name} is {value}; allowed: {least} or more")
        if not stages or not set(stages) <= {Stage.VAL, Stage.TEST}:
            raise UserError(f"quality: stages is {list(stages)}; allowed: val, test, or both")
        self.features = features
        self.num_samples, self.stages, self.neighbors = num_samples, frozenset(stages), neighbors
        self.batch_size, self.seed = batch_size, seed
        self._is_found = False
        self._real: list[tuple[Tensor, Tensor]] = []  # indices and features of the images that were scored

    @property
    def _model(self) -> FeatureNetwork:
        return cast(FeatureNetwork, self.features)

    @property
    def monitor(self) -> str | None:
        """The score by which samples are judged in validation; None: there is none."""
        return "val/fid" if Stage.VAL in self.stages else None

    def check(self, network: nn.Module, info: DataInfo) -> None:
        """Refuse a network without samples, and data that the features cannot look at.

        Raises:
            UserError: names what is wrong and what is allowed.
        """
        if cast(GenerativeNetwork, network).density == Density.NONE:
            raise UserError(
                f"model.init_args.quality: {type(network).__name__} has no samples (its density is none); allowed: null"
            )
        self._model.check_data(info)

    def start(self, data: object) -> None:
        """Forget the images of the last set; before the first, find the features, unless a checkpoint brought them.

        Called in every process. Those of the first one count, since processors may differ in the last digits.

        Raises:
            UserError: the data do not show their images, or the features cannot be found.
        """
        self._real = []
        if self._is_found:
            return
        if isinstance(self.features, FitsImages):
            if not isinstance(data, ShowsImages) or not isinstance(data, PublishesInfo):
                raise UserError(
                    f"model.init_args.quality: features look at the training images before training, and "
                    f"{type(data).__name__} does not show them; allowed: the data sets of lightning_cv.data"
                )
            begin = time.monotonic()
            with torch.inference_mode(False), torch.enable_grad():
                self.features.fit_images(lambda: _pixels(data.training_images(), data.info))
                if rank_and_devices()[1] > 1:
                    self.features.load_state_dict(gather(self.features.state_dict())[0])
            rank_zero_info(f"quality   {self._model.name}: found in {time.monotonic() - begin:.1f} s")
        self._is_found = True

    @torch.no_grad()
    def add(self, stage: Stage, index: Tensor, images: Tensor) -> None:
        """Add images (B, C, H, W) in [0, 1] of the set that is scored, with their indices (B,)."""
        if stage in self.stages:
            self._real.append((index.cpu(), self.features.to(images.device)(images).cpu()))

    @torch.no_grad()
    def take(self, stage: Stage, networks: Networks) -> dict[str, dict[str, float]]:
        """Scores by name, of the samples of each network, which has a name too; every process calls it.

        Raises:
            UserError: the set has too few images.
        """
        if stage not in self.stages:
            return {}
        device = next(networks[0][1].parameters()).device
        real = self._in_order(self._real, device)
        if len(real) <= self.neighbors:
            raise UserError(
                f"quality: {stage} has {len(real)} images; allowed: {self.neighbors + 1} or more, by neighbors"
            )
        return {name: self._score(real, network, device) for name, network in networks}

    def state_dict(self) -> dict[str, Any] | None:
        """The features, once they are found."""
        if not self._is_found:
            return None
        return {"name": self._model.name, "features": self.features.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the features back, if they are those that the recipe names: else they are found anew."""
        if state["name"] == self._model.name:
            self.features.load_state_dict(state["features"])
            self._is_found = True

    def _score(self, real: Tensor, network: nn.Module, device: torch.device) -> dict[str, float]:
        parts, rights = [], []
        for index, features, right in self._drawn(cast(GenerativeNetwork, network), device):
            parts.append((index, features))
            rights.append(right)
        samples = self._in_order(parts, device)
        known = [right for own in gather(rights) for right in own if right is not None]
        if rank_and_devices()[0] > 0:
            return gather({})[0]
        precision, recall = precision_and_recall(real, samples, neighbors=self.neighbors)
        scores = {
            "fid": frechet_distance(real, samples),
            "kid": kernel_distance(real, samples),
            "precision": precision,
            "recall": recall,
        }
        if known:
            scores["class_accuracy"] = sum(known) / self.num_samples
        return gather(scores)[0]

    def _drawn(self, network: GenerativeNetwork, device: torch.device) -> Iterator[tuple[Tensor, Tensor, int | None]]:
        """Indices and features of this process's samples, and how many were recognized; None: nobody can tell."""
        rank, num_devices = rank_and_devices()
        self.features.to(device)
        for index in torch.arange(rank, self.num_samples, num_devices, device=device).split(self.batch_size):
            labels = None if network.num_classes is None else index % network.num_classes
            images = network.sample(OwnDraws.of_indices(index, seed=self.seed), labels).float()
            yield index.cpu(), self.features(images).cpu(), self._recognized(images, labels, network.num_classes)

    def _recognized(self, images: Tensor, labels: Tensor | None, num_classes: int | None) -> int | None:
        if labels is None or not isinstance(self.features, Recognizes):
            return None
        scores = self.features.scores(images)
        return int((scores.argmax(1) == labels).sum()) if scores.shape[1] == num_classes else None

    def _in_order(self, parts: Sequence[tuple[Tensor, Tensor]], device: torch.device) -> Tensor:
        """(N, D) features of all processes in the order of their indices, each once; on the GPU where there is one."""
        none = torch.empty(0, dtype=torch.int64), torch.empty(0, self._model.num_features)
        index, features = (torch.cat(columns) for columns in zip(none, *parts, strict=True))
        everyone = gather((index, features))
        index, features = (torch.cat(columns) for columns in zip(*everyone, strict=True))
        index, order = index.sort(stable=True)
        is_first = torch.ones_like(index, dtype=torch.bool)
        is_first[1:] = index[1:] != index[:-1]
        return features[order[is_first]].to(device if device.type == "cuda" else "cpu")


def _pixels(batches: Iterable[Batch], info: DataInfo) -> Iterator[Batch]:
    """The same with values in [0, 1]."""
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (info.mean, info.std))
    for batch in batches:
        yield {**batch, IMAGE: (batch[IMAGE].float() * std + mean).clamp(0, 1)}
