"""Kernels compiled by torch.compile, once for all sizes, and called without what torch.compile does at each call.

A compiled function first looks up which of its versions fits the arguments: about 20 us, as long as an Adam step of 30,000 elements.
A kernel has one version for each dtype and device, which its key says already, so the compiled code is taken from the backend
(torch.compile hands every backend a graph, and takes a callable back) and called directly: about 5 us. On a CPU what that code does
in the end is one call of machine code, which `machine_code` finds: about 0.5 us.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor

from neuropt.compiling.kernel import Kernel
from neuropt.compiling.machine_code import MachineCode, machine_code
from neuropt.compiling.program import Program, compile_text

Amount = Literal["few", "many"]
EXAMPLE_SIZES: dict[Amount, int] = {"few": 1 << 12, "many": 1 << 20}
"""Elements of the tensors that a kernel is compiled with; a compiler chooses by them whether to share a loop between threads."""
MANY = 1 << 15
"""From so many elements on, a loop is worth sharing."""
OTHER_SIZE = 10_007
"""Elements of the tensors by which the order of arguments is told; so many that a sum in pieces would not fit into one element."""
LONGEST = 500
"""Operations of a step in which all that is used twice is computed twice, at most: a compiler counts so, and would take hours over
`x = g * g; y = x * x; ...`."""
ONCE = {"realize_reads_threshold": 0, "realize_opcount_threshold": 1}
"""Options of the compiler for longer steps: to compute everything once, as if stored. What only one loop needs is not stored then."""
TWICE: dict[str, int] = dict.fromkeys(
    ("realize_reads_threshold", "realize_opcount_threshold", "realize_acc_reads_threshold"), 10 * LONGEST
)
"""Options for rules with reductions where the compiler would store what the pass after a reduction needs again: to compute it again. Memory
as large as a parameter, taken at every step and given back, costs a page fault for each 4 KB."""

Step = Callable[..., object]
"""(w, g, numbers, keys, *remembered) -> nothing, for flat tensors of two elements or more; w and remembered are written."""


class CompilerMissing(Exception):
    """Nothing can be compiled here: no C++ compiler on a CPU, no Triton on a GPU."""


@dataclass(frozen=True, eq=False, slots=True)
class Compiled:
    """A compiled kernel.

    Args:
        kernel: what was compiled.
        run: called with all that a kernel is given.
        code: the machine code alone, where that is all that `run` calls.
    """

    kernel: Kernel
    run: Step
    code: MachineCode | None


@lru_cache(maxsize=512)
def kernel_of(text: str, dtype: torch.dtype, kept: torch.dtype, device: torch.device, maximize: bool) -> Kernel:
    """Return the kernel of a rule's text."""
    return Kernel(compile_text(text), dtype, kept, device, maximize)


def compiled_step(kernel: Kernel, stored: torch.dtype, amount: Amount, threads: int) -> Compiled:
    """Return a compiled kernel, as it was compiled before if it was.

    Args:
        kernel: from `kernel_of`.
        stored: dtype of w and g.
        amount: `few` or `many` elements.
        threads: those that torch uses, since a compiled loop has its own number.

    Raises:
        CompilerMissing: no compiler was found, or it failed; it is not tried again.
    """
    found = _attempted(kernel, stored, amount, threads)
    if isinstance(found, CompilerMissing):
        raise found
    return found


@lru_cache(maxsize=512)
def _attempted(kernel: Kernel, stored: torch.dtype, amount: Amount, threads: int) -> Compiled | CompilerMissing:
    from torch._dynamo.exc import TorchDynamoException  # a second's worth of compiler: only for those who use it

    short = _operations(kernel.program) <= LONGEST
    try:
        found = _compiled(kernel, stored, amount, {} if short else ONCE)
        if found.code is None and short and not kernel.program.pointwise and kernel.device.type == "cpu":
            again = _compiled(kernel, stored, amount, TWICE)
            return found if again.code is None else again
    except (TorchDynamoException, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        return CompilerMissing(reason)
    return found


def _compiled(kernel: Kernel, stored: torch.dtype, amount: Amount, reuse: dict[str, int]) -> Compiled:
    import torch._dynamo as dynamo

    found: list[_Called] = []

    def backend(graph: Any, inputs: Any) -> Callable[..., Any]:
        options: dict[str, bool | int] = {"size_asserts": False, "alignment_asserts": False} | reuse
        if amount == "few":
            options |= {"cpp.threads": 1}
        inductor: Callable[..., Any] = dynamo.lookup_backend("inductor")
        found.append(_Called(inductor(graph, inputs, config_patches=options)))
        return found[-1].first

    arguments = _examples(kernel, stored, EXAMPLE_SIZES[amount])
    function = torch.compile(kernel.graph(), backend=backend, dynamic=True, fullgraph=True)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's compiler warns about torch itself
        function(*arguments)
    run = found[0].arranged(arguments) if found else None  # not found: torch.compile is switched off
    if run is None or kernel.device.type != "cpu":
        return Compiled(kernel, run or function, None)
    return Compiled(kernel, run, machine_code(run, _examples(kernel, stored, OTHER_SIZE)))


def _operations(program: Program) -> int:
    """Return how many operations a step has if what is used twice is computed twice."""
    below = [0] * len(program.leaves)
    for i in program.instructions:
        below.append(1 + sum(below[a] for a in i.arguments))
    return below[program.result] + sum(below[r.value] for r in program.remembered)


class _Called:
    """Compiled code, and the arguments of its first call: tensors in the compiler's order, and their size."""

    def __init__(self, code: Callable[..., Any]) -> None:
        self.code = code
        self.flat: tuple[Any, ...] = ()

    def first(self, *flat: Any) -> Any:
        self.flat = flat
        return self.code(*flat)

    def arranged(self, arguments: Sequence[Any]) -> Step | None:
        """Return the code as a function of the kernel's own arguments, or None where its order is unclear; forget the call."""
        places = []
        flat, self.flat = self.flat, ()
        for x in flat:
            same = [i for i, argument in enumerate(arguments) if argument is x]
            if isinstance(x, int) and x == arguments[0].numel():
                places.append(-1)
            elif isinstance(x, Tensor) and same:
                places.append(same[0])
            else:
                return None
        code = self.code

        def step(*arguments: Any) -> object:
            given = (*arguments, arguments[0].numel())
            return code(*[given[place] for place in places])

        return step


def _examples(kernel: Kernel, stored: torch.dtype, size: int) -> list[Any]:
    """Return arguments to compile with."""
    program = kernel.program
    values = [1.0] * len(program.kinds)
    kinds = {r.name: r.kind for r in program.remembered}
    sizes = [size if kinds[name] == "tensor" else 1 for name in kernel.tensors]
    return [
        *(torch.ones(size, dtype=stored, device=kernel.device) for _ in range(2)),
        kernel.numbers(1.0, values),
        kernel.keys(0, 0, 0),
        *(torch.ones(n, dtype=kernel.kept, device=kernel.device) for n in sizes),
    ]
