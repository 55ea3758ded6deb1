"""Lightning: `configure_optimizers` returns the optimizer, alone or with a scheduler. Needs `pip install lightning`."""

import lightning
import torch
from torch import Tensor, nn

import neuropt


class Regression(lightning.LightningModule):
    """A small network trained with PowerSign under a cosine decay of its sign term and of the learning rate."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 1))

    def training_step(self, batch: list[Tensor], _: int) -> Tensor:
        """Return the loss of a batch."""
        x, y = batch
        return nn.functional.mse_loss(self.net(x), y)

    def configure_optimizers(self) -> dict[str, object]:
        """Make optimizer and scheduler; the trainer knows the planned steps."""
        steps = int(self.trainer.estimated_stepping_batches)
        optimizer = neuropt.create_optimizer("powersign-cd", self.parameters(), lr=0.05, decay_steps=steps)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


if __name__ == "__main__":
    torch.manual_seed(0)
    x = torch.randn(256, 8)
    y = (x.sum(dim=1, keepdim=True) / 3).tanh()
    model = Regression()
    first = nn.functional.mse_loss(model.net(x), y).item()
    batches = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=64)
    trainer = lightning.Trainer(max_epochs=50, accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.fit(model, batches)
    print(f"loss {first:.4f} -> {nn.functional.mse_loss(model.net(x), y).item():.4f}")
