"""What a step costs: microseconds of the optimizer's own step, bytes that it remembers, and a whole training step, each measured alone.

Measured in one process with one thread, one optimizer after the other, without evaluation and after a warm-up: the times of children that
were trained side by side say nothing of this.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from statistics import median

import torch
from torch import Tensor
from torch.optim import Optimizer

from neuropt.compiling.rule_optimizer import RuleOptimizer
from neuropt.evaluating.contenders import Contender
from neuropt.optimizers.catalogue import named_optimizers
from neuropt.tasks import batch_order, build_model
from neuropt.tasks.task import Task, TaskData
from neuropt.training.threads import one_thread

WARM_UP, TIMED = 5, 20


@dataclass(frozen=True, slots=True)
class Cost:
    """What training with one optimizer takes on one task.

    Args:
        us_per_step: median microseconds of the optimizer's step.
        state_bytes_per_parameter: what it keeps in tensors, over the number of parameters.
        seconds_per_step: median of a whole step: forward, backward and the optimizer's.
        steps: of the task's budget.
        gradients: examples whose gradient is computed in the budget.
    """

    us_per_step: float
    state_bytes_per_parameter: float
    seconds_per_step: float
    steps: int
    gradients: int

    def to_dict(self) -> dict[str, float]:
        """Return the numbers by name."""
        return asdict(self)


def measure_cost(contender: Contender, task: Task, data: TaskData) -> Cost:
    """Time a few steps of the optimizer on the task's model, at a learning rate that leaves the weights where they are."""
    model = build_model(task, seed=0).train()
    optimizer = _optimizer(contender, list(model.parameters()), task)
    order = batch_order(len(data.train), task.batch_size, WARM_UP + TIMED, seed=0)
    own, whole = [], []
    with one_thread(), torch.random.fork_rng(devices=[]):
        for batch in order:
            began = time.perf_counter()
            optimizer.zero_grad()
            torch.autograd.backward(task.loss(model(data.train.inputs[batch]), data.train.targets[batch]))
            passed = time.perf_counter()
            optimizer.step()
            ended = time.perf_counter()
            own.append(ended - passed)
            whole.append(ended - began)
    parameters = sum(p.numel() for p in model.parameters())
    return Cost(
        us_per_step=1e6 * median(own[WARM_UP:]),
        state_bytes_per_parameter=state_bytes(optimizer) / parameters,
        seconds_per_step=median(whole[WARM_UP:]),
        steps=task.steps,
        gradients=task.steps * task.batch_size,
    )


def state_bytes(optimizer: Optimizer) -> int:
    """Return the bytes of all tensors that an optimizer remembers; step counters of one number are left out.

    >>> w = torch.nn.Parameter(torch.ones(10))
    >>> w.grad = torch.ones(10)
    >>> adam = torch.optim.Adam([w])
    >>> adam.step()
    >>> state_bytes(adam)  # two averages of ten float32
    80
    """
    tensors = [x for state in optimizer.state.values() for x in state.values() if isinstance(x, Tensor)]
    return sum(x.numel() * x.element_size() for x in tensors if x.ndim)


def _optimizer(contender: Contender, parameters: list[torch.nn.Parameter], task: Task) -> Optimizer:
    if contender.optimizer is not None:
        row = named_optimizers()[contender.optimizer]
        return row.create(parameters, **row.arguments(1e-8, task.steps))
    assert contender.rule is not None
    return RuleOptimizer(parameters, contender.rule, lr=1e-8, decay_steps=task.steps)
