"""The forms in which the children of a task can be trained: the same numbers, up to the order of float operations, at different speeds.

population      an `MLP`: all children in one buffer, one bmm a layer
plain           any model, any torch optimizer: one child after the other
rows            weights are rows of one buffer; each child has its own pass, and the rules take one step for all rows
channels-last   the same, with images as (height, width, channels) in memory
batched         the same buffer, and one pass for all children (torch.func.vmap; convolutions become grouped ones)
compiled        rows, with each child's forward and backward pass compiled by torch.compile

Which one is fast depends on the model, the device and the number of children: `neuropt.training.choosing` measures it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, get_args

import torch
from torch import nn

from neuropt.optimizers.named_schedules import CONSTANT, find_schedule
from neuropt.tasks import batch_order, build_model
from neuropt.tasks.task import MLP, Task, TaskData

Form = Literal["population", "plain", "rows", "channels-last", "batched", "compiled"]
FORMS: tuple[Form, ...] = get_args(Form)
ROW_FORMS: tuple[Form, ...] = ("rows", "channels-last", "batched", "compiled")
"""Forms whose children are rows of one buffer, for any model that `why_no_rows` has nothing against."""


def usual_form(task: Task, schedule: str = CONSTANT) -> Form:
    """Return the form that nothing is measured for: a population where the model is an `MLP` and lr alone moves, else plain."""
    together = isinstance(task.model, MLP) and find_schedule(schedule).moves == "lr"
    return "population" if together else "plain"


def possible_forms(task: Task, data: TaskData) -> tuple[Form, ...]:
    """Return the forms that a task's children can be trained in, at a constant learning rate."""
    population: tuple[Form, ...] = ("population",) if isinstance(task.model, MLP) else ()
    if why_no_rows(task, data) is not None:
        return (*population, "plain")
    without = {"channels-last"} if data.train.inputs.ndim != 4 else set()
    without |= {"batched"} if why_not_batched(task) is not None else set()
    return (*population, "plain", *(form for form in ROW_FORMS if form not in without))


def check_form(form: Form, task: Task, data: TaskData, schedule: str = CONSTANT) -> None:
    """Raise a ValueError if the task's children cannot be trained in the form, saying why."""
    if form not in FORMS:
        raise ValueError(f"form must be one of {', '.join(FORMS)}, but got {form!r}")
    if form == "plain":
        return
    what = f"form {form} cannot train {task.name}"
    if find_schedule(schedule).moves != "lr":
        raise ValueError(f"{what} under schedule {schedule!r}, which moves more than lr; use form plain")
    if form == "population" and not isinstance(task.model, MLP):
        raise ValueError(f"{what}: its model is not an MLP; use one of {', '.join(possible_forms(task, data))}")
    if form in ROW_FORMS and (reason := why_no_rows(task, data)) is not None:
        raise ValueError(f"{what}: {reason}; use form plain")
    if form == "batched" and (reason := why_not_batched(task)) is not None:
        raise ValueError(f"{what}: {reason}; use one of {', '.join(possible_forms(task, data))}")
    if form == "channels-last" and data.train.inputs.ndim != 4:
        shape = tuple(data.train.inputs.shape[1:])
        raise ValueError(f"{what}: its inputs are not images (channels, height, width), but of shape {shape}")


@lru_cache(maxsize=8)
def why_no_rows(task: Task, data: TaskData) -> str | None:
    """Return why the children of a task cannot be rows of one buffer, or None; one forward and backward pass finds out."""
    model = build_model(task, seed=0).train()
    if any(not p.requires_grad for p in model.parameters()):
        return "some of its parameters are not trained"
    if len({p.dtype for p in model.parameters()}) != 1 or not next(model.parameters()).is_floating_point():
        return "its parameters are not of one floating-point type"
    batch = batch_order(len(data.train), task.batch_size, 1, seed=0)[0]
    with torch.random.fork_rng(devices=[]):
        before = torch.get_rng_state()
        loss = task.loss(model(data.train.inputs[batch]), data.train.targets[batch])
        if not torch.equal(before, torch.get_rng_state()):
            return "its forward pass draws random numbers"
    torch.autograd.backward(loss)
    return _why_not_these(model)


@lru_cache(maxsize=8)
def why_not_batched(task: Task) -> str | None:
    """Return why the passes of many children of a task cannot be one, or None; what else vmap refuses is an error of the first pass."""
    recurrent = next((m for m in build_model(task, seed=0).modules() if isinstance(m, nn.RNNBase)), None)
    return None if recurrent is None else f"torch.func.vmap has no rule for its {type(recurrent).__name__}"


def _why_not_these(model: nn.Module) -> str | None:
    """Look at the gradients that a pass has left."""
    for name, parameter in model.named_parameters():
        if parameter.grad is None:
            return f"its parameter {name} gets no gradient"
        if parameter.grad.layout != torch.strided:
            return f"the gradient of its parameter {name} is sparse"
    return None
