"""Would convolutions be faster as matrix products (im2col)? Every convolution of a task, forward and backward, in four exact ways.

    python benchmarks/unfolding.py --task mnist-lenet --data-dir DIR [--children 7] [--turns 7]

loop            `conv2d`, one child after the other
loop, unfolded  `unfold` and one product a child
grouped         one `conv2d` with a group for each child, which `torch.func.vmap` makes of it
unfolded        `unfold` of all children at once, and one `bmm`

The ways take turns; the table shows medians over the turns of processor time, over the loop's. All four must give the same gradients.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional

from neuropt.tasks import batch_order, build_model, get_task, load_task_data

Convolve = Callable[["Layer", Tensor, Tensor], Tensor]
TOLERANCE = 1e-4
"""Of float32 sums over a batch, relative to the largest gradient."""


@dataclass(frozen=True)
class Layer:
    """A convolution, and the batch that one child gives it: (n, channels, height, width)."""

    name: str
    module: nn.Conv2d
    inputs: Tensor

    @property
    def geometry(self) -> dict[str, tuple[int, ...]]:
        stride, padding, dilation = self.module.stride, self.module.padding, self.module.dilation
        assert not isinstance(padding, str)
        return {"stride": stride, "padding": padding, "dilation": dilation}

    def columns(self, x: Tensor) -> Tensor:
        """Return the patches of images as columns: (n, channels * kernel, places)."""
        return functional.unfold(x, self.module.kernel_size, **self.geometry)  # type: ignore[arg-type]


def loop(layer: Layer, x: Tensor, w: Tensor) -> Tensor:
    return torch.stack([functional.conv2d(a, b, **layer.geometry).flatten(2) for a, b in zip(x, w, strict=True)])  # type: ignore[call-overload]


def loop_unfolded(layer: Layer, x: Tensor, w: Tensor) -> Tensor:
    return torch.stack([b.flatten(1) @ layer.columns(a) for a, b in zip(x, w, strict=True)])


def grouped(layer: Layer, x: Tensor, w: Tensor) -> Tensor:
    children, n = x.shape[:2]
    side_by_side = x.transpose(0, 1).flatten(1, 2)
    y: Tensor = functional.conv2d(side_by_side, w.flatten(0, 1), groups=children, **layer.geometry)  # type: ignore[call-overload]
    return y.reshape(n, children, w.shape[1], -1).transpose(0, 1)


def unfolded(layer: Layer, x: Tensor, w: Tensor) -> Tensor:
    children, n = x.shape[:2]
    columns = layer.columns(x.flatten(0, 1)).unflatten(0, (children, n))
    products = torch.bmm(w.flatten(2), columns.permute(0, 2, 1, 3).flatten(2))
    return products.unflatten(2, (n, -1)).transpose(1, 2)


WAYS: dict[str, Convolve] = {"loop": loop, "loop, unfolded": loop_unfolded, "grouped": grouped, "unfolded": unfolded}


def layers_of(name: str, data_dir: Path | None) -> list[Layer]:
    """Return every convolution of a task's model with what it is given in the first step."""
    task = get_task(name)
    data = load_task_data(task, data_dir)
    model = build_model(task, seed=0)
    found: list[Layer] = []
    for path, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_pre_hook(lambda m, x, path=path: found.append(Layer(path, m, x[0].detach())))
    with torch.no_grad():
        model(data.train.inputs[batch_order(len(data.train), task.batch_size, 1, seed=0)[0]])
    return found


def turn(way: Convolve, layer: Layer, x: Tensor, w: Tensor) -> tuple[float, Tensor]:
    """Return seconds of processor time of a forward and backward pass, and the gradients of the weights."""
    began = time.thread_time()
    y = way(layer, x, w)
    gradients = torch.autograd.grad(y.square().sum(), (w, x))
    return time.thread_time() - began, gradients[0]


def compare(layer: Layer, children: int, turns: int) -> dict[str, float]:
    """Return each way's time over the loop's."""
    x = layer.inputs.expand(children, *layer.inputs.shape).clone().requires_grad_()
    w = torch.stack([layer.module.weight.detach() * (1 + child / 100) for child in range(children)]).requires_grad_()
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    reference = turn(loop, layer, x, w)[1]
    for _ in range(turns):
        for name, way in WAYS.items():
            spent, gradients = turn(way, layer, x, w)
            torch.testing.assert_close(gradients, reference, rtol=0, atol=TOLERANCE * float(reference.abs().max()))
            seconds[name].append(spent)
    whole = statistics.median(seconds["loop"])
    return {name: statistics.median(values) / whole for name, values in seconds.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="mnist-lenet")
    parser.add_argument("--data-dir", type=Path, default=None)
    parser.add_argument("--children", type=int, default=7)
    parser.add_argument("--turns", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    table = Table(
        "convolution",
        "of a child's batch",
        *WAYS,
        title=f"{options.task}, {options.children} children: time / the loop's",
    )
    for layer in layers_of(options.task, options.data_dir):
        ratios = compare(layer, options.children, options.turns)
        shapes = f"{tuple(layer.inputs.shape)} by {tuple(layer.module.weight.shape)}"
        table.add_row(layer.name, shapes, *(f"{ratio:.2f}" for ratio in ratios.values()))
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
