"""Record gradients of a small network, on which the tests of `search_space` screen rules without torch.

A 64-32-10 ReLU network on scikit-learn's digits (pixels 0..1), batch 64, 32 steps of SGD at 0.1 with momentum 0.9; 300 of its 2,410
parameters. Run once: `python tests/data/record_digits_gradients.py` writes `digits_gradients.npz` beside itself (float32, about 75 kB).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits

STEPS, ELEMENTS, BATCH = 32, 300, 64


def main() -> None:
    torch.manual_seed(0)
    images, labels = load_digits(return_X_y=True)
    order = torch.randperm(len(images))[:1000]
    x = torch.tensor(images / 16.0, dtype=torch.float32)[order]
    y = torch.tensor(labels)[order]
    model = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    sample = torch.randperm(sum(p.numel() for p in model.parameters()))[:ELEMENTS]
    gradients, weights = [], []
    for _ in range(STEPS):
        batch = torch.randint(len(x), (BATCH,))
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
        weights.append(torch.cat([p.detach().ravel() for p in model.parameters()])[sample].numpy().copy())
        gradients.append(torch.cat([p.grad.ravel() for p in model.parameters() if p.grad is not None])[sample].numpy())
        optimizer.step()
    path = Path(__file__).with_name("digits_gradients.npz")
    np.savez_compressed(path, gradients=np.stack(gradients), weights=np.stack(weights))


if __name__ == "__main__":
    main()
