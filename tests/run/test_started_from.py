"""A run that started with the weights of another one needs that one no more, once it has a snapshot of its own."""

import shutil
from pathlib import Path

import pytest
import torch

from lightning_cv.cli.main import main
from lightning_cv.run import load_task

NETWORK = "{class_path: lightning_cv.networks.generate.MlpAutoencoder, init_args: {num_latents: 4, widths: [8]}}"
SHARED = """
    optimizer:
      class_path: torch.optim.SGD
      init_args: {lr: 0.01}
callbacks:
  snapshot: {class_path: lightning_cv.callbacks.Snapshot}
trainer: {max_epochs: 1, limit_train_batches: 2, logger: false, accelerator: cpu}
data:
  class_path: lightning_cv.data.Digits
  init_args: {batch_size: 64, normalize: false}
seed_everything: 0
"""
FIRST = f"""
model:
  class_path: lightning_cv.tasks.Generate
  init_args:
    network: {NETWORK}
{SHARED}"""
SECOND = f"""
model:
  class_path: lightning_cv.tasks.Classify
  init_args:
    network:
      class_path: lightning_cv.networks.classify.EncoderClassifier
      init_args: {{num_classes: 10, freeze: true, weights: first, network: {NETWORK}}}
{SHARED}"""


@pytest.mark.usefixtures("own_parser_settings")
def test_it_scores_loads_and_goes_on_without_the_first_run(capsys):
    """row 239: its encoder is that of the first run, before and after that was deleted."""
    Path("first.yaml").write_text(FIRST)
    Path("second.yaml").write_text(SECOND)
    assert main(["fit", "second.yaml", "--run-dir", "early"]) == 2
    assert "weights is first, which does not exist" in capsys.readouterr().err
    assert main(["fit", "first.yaml", "--run-dir", "first"]) == 0
    assert main(["fit", "second.yaml", "--run-dir", "second"]) == 0
    encoder = load_task("first").network.encoder.state_dict()
    shutil.rmtree("first")
    assert main(["test", "--ckpt", "second"]) == 0
    assert main(["fit", "--resume", "second", "--trainer.max_epochs=2"]) == 0
    for name, value in load_task("second").network.encoder.state_dict().items():
        assert torch.equal(value, encoder[name]), name
