"""torch.compile: the model, and the optimizer's step.

python examples/compiled.py inductor
"""

import sys

import torch
from torch import nn

import neuropt

backend = sys.argv[1] if len(sys.argv) > 1 else "inductor"

torch.manual_seed(0)
x = torch.randn(256, 8)
y = (x.sum(dim=1, keepdim=True) / 3).tanh()
model = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 1))
optimizer = neuropt.create_optimizer("powersign", model.parameters(), lr=0.05)
forward, step = torch.compile(model, backend=backend), torch.compile(optimizer.step, backend=backend)

losses = []
for _ in range(200):
    loss = nn.functional.mse_loss(forward(x), y)
    optimizer.zero_grad()
    loss.backward()
    step()
    losses.append(loss.item())
print(f"loss {losses[0]:.4f} -> {losses[-1]:.4f}")
