"""Mixed precision: bfloat16 autocast, and float16 with a GradScaler, which skips steps whose gradients overflow.

python examples/mixed_precision.py cuda
"""

import sys

import torch
from torch import nn

import neuropt

device = sys.argv[1] if len(sys.argv) > 1 else "cpu"


def train(dtype: torch.dtype) -> tuple[float, float]:
    """Train in half precision with weights in single, and return the first and the last loss."""
    torch.manual_seed(0)
    x = torch.randn(256, 8, device=device)
    y = (x.sum(dim=1, keepdim=True) / 3).tanh()
    model = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 1)).to(device)
    optimizer = neuropt.create_optimizer("powersign", model.parameters(), lr=0.05)
    scaler = torch.amp.GradScaler(device, enabled=dtype == torch.float16)  # bfloat16 needs none
    losses = []
    for _ in range(200):
        with torch.autocast(device, dtype):
            loss = nn.functional.mse_loss(model(x).float(), y)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.item())
    return losses[0], losses[-1]


for dtype in (torch.bfloat16, torch.float16):
    first, last = train(dtype)
    print(f"{dtype}: loss {first:.4f} -> {last:.4f}")
