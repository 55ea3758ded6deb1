"""The network of the learned optimizer: two LSTM layers of 20 units that see one coordinate's gradients and say its next step.

    x = (log|g| / p, sign g)  if |g| >= e^-p,  else (-1, e^p g)
    i, f, z, o = W_ih x + b_ih + W_hh h + b_hh                     of each layer; x of the second is h of the first
    c = sigmoid(f) c + sigmoid(i) tanh(z);  h = sigmoid(o) tanh(c)
    y = W_output h + b_output                                     of the last layer

All coordinates share the weights; each has its own h and c. Coordinates stand last, so that a step is a few products of small
matrices with wide ones. A network is a mapping from the names of `SHAPES` to tensors: those of `torch.nn.LSTM`, the output layer, and p.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

Network = Mapping[str, Tensor]

INPUTS, UNITS, LAYERS = 2, 20, 2
OUTPUT_START = 0.01
"""Factor of the output layer's first weights."""

SHAPES: dict[str, tuple[int, ...]] = {
    "p": (),
    "weight_ih_l0": (4 * UNITS, INPUTS),
    "weight_hh_l0": (4 * UNITS, UNITS),
    "bias_ih_l0": (4 * UNITS,),
    "bias_hh_l0": (4 * UNITS,),
    "weight_ih_l1": (4 * UNITS, UNITS),
    "weight_hh_l1": (4 * UNITS, UNITS),
    "bias_ih_l1": (4 * UNITS,),
    "bias_hh_l1": (4 * UNITS,),
    "weight_output": (1, UNITS),
    "bias_output": (1,),
}
"""Names and shapes of a network's tensors: 5,301 weights, and p."""


def fresh_network(p: float, generator: torch.Generator) -> dict[str, Tensor]:
    """Return a network before any training: every weight even in +-1/sqrt(20), as `torch.nn.LSTM` and `Linear` start.

    The output layer's are a hundredth of that, since many like steps, before any training, drive a model to where its gradients are 0.

    Example:
        >>> fresh_network(10.0, torch.Generator().manual_seed(0))["weight_output"].shape
        torch.Size([1, 20])
    """
    bound = 1 / math.sqrt(UNITS)
    drawn = {name: torch.rand(shape, generator=generator) * 2 * bound - bound for name, shape in SHAPES.items()}
    smaller = {name: drawn[name] * OUTPUT_START for name in ("weight_output", "bias_output")}
    return drawn | smaller | {"p": torch.tensor(p)}


def start_state(coordinates: tuple[int, ...], like: Tensor) -> Tensor:
    """Return h = 0 (or c = 0) of both layers for coordinates of any shape, (2, 20, *coordinates), of the type of `like`."""
    return torch.zeros((LAYERS, UNITS, *coordinates), dtype=like.dtype, device=like.device)


def preprocess(g: Tensor, p: float) -> Tensor:
    """Return the two inputs of each coordinate: the size and the sign of g, or g itself where it is tiny.

    (log|g| / p, sign g)  if |g| >= e^-p,  else (-1, e^p g)

    Args:
        g: gradients, shape (n,).
        p: what counts as tiny; both inputs are continuous at |g| = e^-p.

    Returns:
        shape (2, n).

    Example:
        >>> preprocess(torch.tensor([1.0, -math.exp(-5), 0.0]), p=10.0)
        tensor([[ 0.0000, -0.5000, -1.0000],
                [ 1.0000, -1.0000,  0.0000]])

    Source: Andrychowicz et al., "Learning to learn by gradient descent by gradient descent", NIPS 2016, appendix A.
    """
    least = math.exp(-p)
    size = g.abs()
    large = size >= least
    # clamped first, since autograd would make NaN of the logarithm of 0 even where it is not chosen
    log_size = torch.where(large, size.clamp(min=least).log() / p, -1.0)
    return torch.stack([log_size, torch.where(large, g.sign(), g * math.exp(p))])


def run_network(network: Network, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Feed the network one step's inputs.

    Args:
        network: weights, of one type and device with the rest.
        x: inputs, shape (2, n).
        h: what the layers said last, shape (2, 20, n).
        c: what the layers remember, shape (2, 20, n).

    Returns:
        y of shape (n,), and the next h and c.
    """
    next_h, next_c = [], []
    for layer in range(LAYERS):
        bias = network[f"bias_ih_l{layer}"] + network[f"bias_hh_l{layer}"]
        gates = torch.addmm(bias.unsqueeze(1), network[f"weight_ih_l{layer}"], x)
        i, f, z, o = (gates + network[f"weight_hh_l{layer}"] @ h[layer]).chunk(4)
        next_c.append(f.sigmoid() * c[layer] + i.sigmoid() * z.tanh())
        x = o.sigmoid() * next_c[-1].tanh()
        next_h.append(x)
    y = torch.addmm(network["bias_output"].unsqueeze(1), network["weight_output"], x)
    return y.squeeze(0), torch.stack(next_h), torch.stack(next_c)
