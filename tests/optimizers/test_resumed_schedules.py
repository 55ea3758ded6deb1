"""A named schedule that is saved in the middle of a training goes on as if nothing had happened."""

from __future__ import annotations

import io

import pytest
import torch
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LRScheduler

from neuropt.optimizers.named_schedules import create_schedule, named_schedules

STEPS = 21  # 1/3, 1/7 and 1/10 of it lie at different steps, so that a cut can fall before, at and after each milestone


def begun(name: str) -> tuple[Optimizer, LRScheduler]:
    optimizer = AdamW([torch.ones(1, requires_grad=True)], lr=0.1, weight_decay=0.3)
    return optimizer, create_schedule(name, optimizer, STEPS)


def written(name: str, cut: int | None) -> list[tuple[float, float]]:
    """What the schedule writes into the group at each step; saved, and loaded into a fresh pair, before step `cut`."""
    optimizer, schedule = begun(name)
    values = []
    for t in range(STEPS):
        if t == cut:
            file = io.BytesIO()
            torch.save((optimizer.state_dict(), schedule.state_dict()), file)
            file.seek(0)
            states = torch.load(file, weights_only=True)
            optimizer, schedule = begun(name)
            optimizer.load_state_dict(states[0])
            schedule.load_state_dict(states[1])
        values.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["weight_decay"]))
        optimizer.step()
        schedule.step()
    return values


@pytest.mark.parametrize("name", named_schedules())
def test_a_saved_schedule_goes_on_to_the_last_bit(name: str) -> None:
    whole = written(name, cut=None)
    for cut in range(STEPS):
        assert written(name, cut) == whole, f"saved before step {cut}"
