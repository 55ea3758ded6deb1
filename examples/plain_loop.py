"""A plain training loop: an optimizer by its name, by rule text, or from a file that `neuropt export` wrote.

python examples/plain_loop.py powersign
python examples/plain_loop.py "g * exp(sign(g) * sign(m))"
python examples/plain_loop.py found.json
"""

import sys

import torch
from torch import nn

import neuropt

rule = neuropt.find_rule(sys.argv[1] if len(sys.argv) > 1 else "powersign").rule

torch.manual_seed(0)
x = torch.randn(256, 8)
y = (x.sum(dim=1, keepdim=True) / 3).tanh()
model = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 1))
optimizer = neuropt.create_optimizer(rule, model.parameters(), lr=0.05)

losses = []
for _ in range(200):
    loss = nn.functional.mse_loss(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
print(f"loss {losses[0]:.4f} -> {losses[-1]:.4f}")
