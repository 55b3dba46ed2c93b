"""Learning-rate schedules, parameter groups, and the optimizers that torch lacks."""

from lightning_cv.optim.adagrad import AdagradInnerEps
from lightning_cv.optim.bfgs import Bfgs
from lightning_cv.optim.groups import build_optimizer, parameter_groups
from lightning_cv.optim.newton import Newton
from lightning_cv.optim.rate_scaling import RateScaling, scale_rates
from lightning_cv.optim.schedules import Constant, Cosine, Horizon, InverseSqrt, Linear, Polynomial, Schedule, Step
from lightning_cv.optim.torch_schedule import TorchChained, TorchSchedule, TorchSequential

__all__ = [
    "AdagradInnerEps",
    "Bfgs",
    "Newton",
    "Schedule",
    "Horizon",
    "Constant",
    "Step",
    "Cosine",
    "Linear",
    "Polynomial",
    "InverseSqrt",
    "TorchSchedule",
    "TorchSequential",
    "TorchChained",
    "RateScaling",
    "build_optimizer",
    "parameter_groups",
    "scale_rates",
]
