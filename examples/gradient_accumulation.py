"""Gradient accumulation: four small batches, one step; the same steps as with one large batch."""

import copy

import torch
from torch import nn

import neuropt

torch.manual_seed(0)
x = torch.randn(256, 8)
y = (x.sum(dim=1, keepdim=True) / 3).tanh()
model = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 1))
whole = copy.deepcopy(model)


def train(model: nn.Module, parts: int) -> float:
    """Train with each step's batch in parts, and return the last loss."""
    optimizer = neuropt.create_optimizer("powersign", model.parameters(), lr=0.05)
    for _ in range(100):
        optimizer.zero_grad()
        for inputs, targets in zip(x.chunk(parts), y.chunk(parts), strict=True):
            loss = nn.functional.mse_loss(model(inputs), targets) / parts
            loss.backward()
        optimizer.step()
    return nn.functional.mse_loss(model(x), y).item()


start = nn.functional.mse_loss(model(x), y).item()
print(f"loss {start:.4f} -> {train(model, 4):.4f} in four parts, {train(whole, 1):.4f} in one")
