"""What does a task pay at each step for hooks in which it does nothing?"""

import inspect

import lightning.pytorch as pl

# Training only: Lightning inspects the signatures of the evaluation hooks.
_STEP_HOOKS = (
    "on_train_batch_start",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
)


def skip_idle_hooks(task: pl.LightningModule, trainer: pl.Trainer) -> None:
    """Let Lightning pass over the step hooks that this task leaves empty.

    Lightning calls each hook of a task inside a profiler context, also where it is the base class's empty
    one; a hook that is not callable it passes over. They are hidden on the instance, so that a subclass may
    still define any of them and call the base class's through `super()`. Gradient clipping is a hook too,
    and empty where the Trainer clips nothing.
    """
    unused = list(_STEP_HOOKS)
    if trainer.gradient_clip_val is None:
        unused.append("configure_gradient_clipping")
    else:
        vars(task).pop("configure_gradient_clipping", None)
    for hook in unused:
        if getattr(type(task), hook) is getattr(pl.LightningModule, hook):
            vars(task)[hook] = None


def remember_signature(task: type[pl.LightningModule]) -> None:
    """Lightning asks for the parameters of `training_step` at every step; answer without working them out anew."""
    step = task.training_step
    step.__signature__ = inspect.signature(step)  # type: ignore[attr-defined]
