"""torch's learning rate schedulers, and a decay of the rule's own: `powersign-cd` also needs the planned steps."""

import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR

import neuropt

STEPS = 200

torch.manual_seed(0)
x = torch.randn(256, 8)
y = (x.sum(dim=1, keepdim=True) / 3).tanh()
model = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 1))
optimizer = neuropt.create_optimizer("powersign-cd", model.parameters(), lr=0.05, decay_steps=STEPS)
scheduler = CosineAnnealingLR(optimizer, STEPS)

losses = []
for _ in range(STEPS):
    loss = nn.functional.mse_loss(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
    losses.append(loss.item())
print(f"loss {losses[0]:.4f} -> {losses[-1]:.4f}, last learning rate {scheduler.get_last_lr()[0]:.4f}")
