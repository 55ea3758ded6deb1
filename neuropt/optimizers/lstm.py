"""The learned LSTM optimizer: a small network, trained to train, says each coordinate's next step."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from neuropt.optimizers.dense_optimizer import DenseOptimizer, descend
from neuropt.optimizers.loop_optimizer import State
from neuropt.optimizers.lstm_network import LAYERS, UNITS, preprocess, run_network, start_state
from neuropt.optimizers.lstm_weights import network_of, network_text

DEFAULT_WEIGHTS = "digits-mlp"
"""The task that the network was meta-trained on, and the name of its file."""


class LSTMOptimizer(DenseOptimizer):
    """Let a recurrent network choose each element's step from the gradients that this element has had.

    y, h, c = LSTM(x, h, c),  x = (log|g| / p, sign g) if |g| >= e^-p, else (-1, e^p g)
    w = w + lr (y - weight_decay w)

    The LSTM has two layers of 20 units; its weights are shared by all elements, h and c are each element's own and start at 0. lr is the
    paper's factor of the output, 0.1 as in meta-training; it can be tuned and scheduled like any learning rate, but steps shrink by
    what the network has learned, not by it. p is the network's own (10; the authors' code has 5).

    Networks come from `neuropt.meta_train`, or `neuropt meta-train`. The group keeps the network itself, as text, not its name: a
    state_dict carries it along, and an optimizer that loads one goes on with the network of that state_dict.

    h and c take 80 numbers of the parameter's type for each element, where Adam keeps 2. float16 and bfloat16 are computed in float32.

    Defaults: lr 0.1, weights 'digits-mlp', weight_decay 0.0.

    Args:
        params, maximize, differentiable: as in torch's optimizers.
        lr: factor of the network's output, a number or a one-element tensor.
        weights: the network: the name of a shipped one (`neuropt/optimizers/weights/README.md`), a file, or a mapping from names to
            tensors, as `torch.load` of such a file gives.
        weight_decay: decoupled; not the paper's.

    Raises:
        ValueError, TypeError: for a bad hyperparameter or weights that are no network, in any group, named with its value.
        RuntimeError: in `step`, for a sparse gradient.

    Example:
        >>> import torch
        >>> w = torch.ones(3, requires_grad=True)
        >>> optimizer = LSTMOptimizer([w])
        >>> for _ in range(100):
        ...     optimizer.zero_grad()
        ...     (w**2).sum().backward()
        ...     optimizer.step()
        >>> bool((w**2).sum() < 0.1)
        True

    Source: Andrychowicz et al., "Learning to learn by gradient descent by gradient descent", NIPS 2016.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.1,
        weights: str | os.PathLike[str] | Mapping[str, Tensor] = DEFAULT_WEIGHTS,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        own = {"weights": network_text(weights, "LSTMOptimizer(weights=...)")}
        super().__init__(params, own, lr, weight_decay, maximize, differentiable)

    @classmethod
    def check_own(cls, group: dict[str, Any]) -> None:
        """Refuse weights that are no network."""
        network_text(group["weights"], "LSTMOptimizer(weights=...)")

    @classmethod
    def kept(cls, group: dict[str, Any]) -> dict[str, Any]:
        """Return the network as text, whatever form the group gave it in."""
        return {"weights": network_text(group["weights"], "LSTMOptimizer(weights=...)")}

    @staticmethod
    def start(w: Tensor, group: dict[str, Any]) -> State:
        """h = 0, c = 0, of shape (2, 20, *w.shape)."""
        return {"hidden": start_state(tuple(w.shape), w), "cell": start_state(tuple(w.shape), w)}

    @classmethod
    def update(cls, w: Tensor, g: Tensor, state: State, t: Any, group: dict[str, Any]) -> None:
        """Run the network on every element."""
        dtype = torch.promote_types(w.dtype, torch.float32)
        network = network_of(group["weights"], dtype, w.device)
        # autograd, where it sees the step, needs what this step read; copies, since the state changes in place
        h, c = (
            state[name].to(dtype, copy=group["differentiable"]).reshape(LAYERS, UNITS, w.numel())
            for name in ("hidden", "cell")
        )
        x = preprocess(g.to(dtype).reshape(-1), float(network["p"]))
        y, h, c = run_network(network, x, h, c)
        state["hidden"].copy_(h.reshape(state["hidden"].shape))
        state["cell"].copy_(c.reshape(state["cell"].shape))
        u = -y.reshape(w.shape)
        if group["weight_decay"] != 0:
            u = u + w * group["weight_decay"]
        descend(w, u, group["lr"])

    def __repr__(self) -> str:
        """Return the groups, with networks cut short."""
        text = super().__repr__()
        for network in {group["weights"] for group in self.param_groups}:
            text = text.replace(network, f"{network[:24]}...")
        return text
