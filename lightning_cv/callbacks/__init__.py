"""What happens beside the training step? Callbacks that every task shares."""

from lightning_cv.callbacks.adversarial_monitor import AdversarialMonitor
from lightning_cv.callbacks.confusion_matrix import ConfusionMatrix
from lightning_cv.callbacks.early_stopping import EarlyStopping
from lightning_cv.callbacks.ema import Ema
from lightning_cv.callbacks.fold_batch_norm import FoldBatchNorm
from lightning_cv.callbacks.idle_hooks import skip_idle_hooks
from lightning_cv.callbacks.learning_rate import LearningRate
from lightning_cv.callbacks.media import Media
from lightning_cv.callbacks.progress import Progress
from lightning_cv.callbacks.snapshot import Snapshot
from lightning_cv.callbacks.speed import Speed
from lightning_cv.callbacks.throughput import Throughput
from lightning_cv.callbacks.weight_penalty import WeightPenalty
from lightning_cv.record.progress import ProgressFile

__all__ = [
    "AdversarialMonitor",
    "ConfusionMatrix",
    "EarlyStopping",
    "Ema",
    "FoldBatchNorm",
    "LearningRate",
    "Media",
    "Progress",
    "ProgressFile",
    "Snapshot",
    "Speed",
    "Throughput",
    "WeightPenalty",
    "skip_idle_hooks",
]
