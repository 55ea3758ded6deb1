"""Hugging Face's Trainer: `optimizers=(optimizer, scheduler)`. Needs `pip install transformers accelerate`."""

import tempfile

import torch
from torch import Tensor, nn
from transformers import Trainer, TrainingArguments

import neuropt

STEPS = 200


class Regression(nn.Module):
    """A small network that returns its loss, as the Trainer asks."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 1))

    def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return the loss of a batch."""
        predicted = self.net(x)
        return {"loss": nn.functional.mse_loss(predicted, labels), "logits": predicted}


if __name__ == "__main__":
    torch.manual_seed(0)
    x = torch.randn(256, 8)
    y = (x.sum(dim=1, keepdim=True) / 3).tanh()
    model = Regression()
    first = model(x, y)["loss"].item()
    optimizer = neuropt.create_optimizer("powersign-cd", model.parameters(), lr=0.05, decay_steps=STEPS)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    rows = [{"x": a, "labels": b} for a, b in zip(x, y, strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder, max_steps=STEPS, per_device_train_batch_size=64, report_to=[], use_cpu=True
        )
        Trainer(model, arguments, train_dataset=rows, optimizers=(optimizer, scheduler)).train()
    print(f"loss {first:.4f} -> {model(x, y)['loss'].item():.4f}")
