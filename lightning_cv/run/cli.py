"""How does a composed recipe become a task, data, callbacks and a Trainer?"""

from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from lightning_cv.run.profiler import Unprofiled

DEFAULT_LOGGER = {"class_path": "lightning_cv.tracking.WandbTracker"}


class RecipeCLI(LightningCLI):
    """LightningCLI over one plain mapping, with callbacks by name.

    Args:
        values: the composed recipe; see `lightning_cv.recipe.compose`.
        prepare: called once with this object when the recipe is parsed and complete (`resolved`), before
            anything is built; it may set `trainer_overrides` and `logger_overrides`.
    """

    def __init__(self, values: dict[str, Any], prepare: Callable[["RecipeCLI"], None]) -> None:
        self._prepare = prepare
        self.trainer_overrides: dict[str, Any] = {}
        self.logger_overrides: dict[str, Any] = {}
        super().__init__(
            pl.LightningModule,
            pl.LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            trainer_defaults={"logger": DEFAULT_LOGGER},
            save_config_callback=None,
            seed_everything_default=0,
            parser_kwargs={"exit_on_error": False, "allow_abbrev": False},
            args=values,
            run=False,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Callbacks have names, so that an override or a sweep can reach each; null switches one off."""
        parser.add_argument("--callbacks", type=dict[str, pl.Callback | None], default={}, help="name: callback")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse the mapping; the command line was read before (`lightning_cv.cli`)."""
        self.config = parser.parse_object(args)

    @property
    def resolved(self) -> str:
        """The complete recipe with every default, as YAML: `lightning-cv fit --config` on it repeats the run."""
        return self.parser.dump(self.config, skip_none=False, skip_link_targets=False)

    def before_instantiate_classes(self) -> None:
        """Let the run prepare its folder, then tell the tracker where and under which name it writes."""
        self._prepare(self)
        logger = self.config.trainer.logger
        if getattr(logger, "class_path", None) == DEFAULT_LOGGER["class_path"]:
            for name, value in self.logger_overrides.items():
                if logger.init_args.get(name) is None:
                    logger.init_args[name] = value

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        """The Trainer with the recipe's named callbacks, after those of `trainer.callbacks`."""
        extra = self.trainer_overrides.pop("callbacks", [])
        named = [callback for callback in self.config_init.callbacks.values() if callback is not None]
        listed = self.config_init.trainer.callbacks or []
        listed = listed if isinstance(listed, list) else [listed]
        if self.config_init.trainer.profiler is None:
            kwargs.setdefault("profiler", Unprofiled())
        overrides = {"callbacks": [*extra, *listed, *named], **self.trainer_overrides, **kwargs}
        return super().instantiate_trainer(**overrides)
