"""A step as one pass over memory for each tensor, by a compiled kernel.

A kernel is compiled for a flat tensor of any size, so a model of a thousand tensors compiles as long as a model of one. It is called in
three ways:

- On a CPU, parameters in one piece of memory are handed to the kernel's machine code as they are, see `direct`.
- Elsewhere a large tensor is updated where it is. It is flat in the order in which its memory lies (a channels-last weight is not copied);
  what lies in another order is copied first and, if it was written, back.
- Small tensors that share their numbers are copied into one flat piece of memory, updated together, and copied back: for them such a call
  costs more than moving them twice. Rules with reductions or draws have something of each tensor's own, and are not gathered.

Where there is no machine code, a single element alone, or none, is left to the loop: compilers treat the sizes 0 and 1 apart. So are
tensors that are made of other tensors (DTensor), and those of more than 2^31 elements on a GPU.
"""

# torch documents its _foreach_ functions but leaves them out of __all__:
# pyright: reportPrivateImportUsage=false

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from neuropt.compiling.compiled import MANY, Compiled, compiled_step, kernel_of
from neuropt.compiling.direct import Prepared, count, prepare, update_prepared
from neuropt.compiling.due import HALF, Due, GroupStep, State, key
from neuropt.compiling.pieces import gathered, largest, small

Moving = tuple[Tensor, Tensor, State, int]
"""A parameter, its gradient, its state, and its index over all groups."""
LARGEST_ELSEWHERE = 2**31 - 1
"""Elements that a kernel of a GPU counts: a compiler takes 32 bits for the places of tensors like its examples."""
Known = dict[int, Prepared]
"""By the parameter's identity, which stays its own as long as it is kept here."""


def update_fused(
    moving: Sequence[Moving], step: GroupStep, make: Callable[[Tensor, int], Due], known: Known
) -> list[Due]:
    """Update parameters by compiled kernels, and return those that no kernel is for.

    Args:
        moving: parameters with gradients, their states, and their indices over all groups.
        step: of their group.
        make: (parameter, index) -> what it brings.
        known: those prepared for direct calls, which this fills.

    Raises:
        CompilerMissing: nothing can be compiled; no parameter was updated.
    """
    ready, others, form = list[tuple[Prepared, Tensor]](), list[Due](), None
    for w, g, state, index in moving:
        one = known.get(id(w))
        if one is None or step.lr == 0 or not one.fits(w, g, state):
            form = form or _Form(step)
            due = make(w, index)
            one = form.prepared(w, due)
            if one is None:
                others.append(due)
                continue
            known[id(w)] = one
        one.index = index
        ready.append((one, g))
    alone = form.update(others) if form and others else []
    update_prepared(ready, step)
    return alone


def _sorted(due: Sequence[Due], step: GroupStep) -> tuple[list[list[Due]], list[Due], list[Due]]:
    """Part parameters into pieces of small ones, large ones, and those that no kernel is for."""
    program = step.execution.program
    gathers = program.pointwise and program.deterministic
    open_pieces: dict[Any, tuple[list[Due], int]] = {}
    pieces, large = list[list[Due]](), list[Due]()
    alone = list[Due]()
    for one in due:
        size = one.w.numel()
        if not _has_memory(one.w) or not _has_memory(one.g) or not _countable(one.w):
            alone.append(one)
            continue
        if not gathers or size > small(one.w.device):
            large.append(one)
            continue
        w, limit = one.w, largest(one.w.device)
        shared = w.dtype, w.device, step.shared(one)
        piece, elements = open_pieces.get(shared, ([], 0))
        if not piece or elements + size > limit:
            piece, elements = [], 0
            pieces.append(piece)
        piece.append(one)
        open_pieces[shared] = piece, elements + size
    large += [piece[0] for piece in pieces if len(piece) == 1]
    alone += [one for one in large if one.w.numel() < 2]
    alone += [one for piece in pieces if len(piece) > 1 and sum(x.w.numel() for x in piece) < 2 for one in piece]
    taken = {id(one) for one in alone}
    return (
        [piece for piece in pieces if len(piece) > 1 and id(piece[0]) not in taken],
        [one for one in large if id(one) not in taken],
        alone,
    )


def _has_memory(x: Tensor) -> bool:
    """Whether a tensor is its own memory, and not a name for others', as a DTensor is: a kernel would read what is not there."""
    plain: object = Tensor.__torch_dispatch__  # pyright: ignore[reportAttributeAccessIssue]  # torch types it as a method
    given: object = type(x).__torch_dispatch__  # pyright: ignore[reportAttributeAccessIssue]  # likewise
    return given is plain


def _countable(w: Tensor) -> bool:
    return w.device.type == "cpu" or w.numel() <= LARGEST_ELSEWHERE


class _Form:
    """What the updates of one group at one step share."""

    def __init__(self, step: GroupStep) -> None:
        self.step, self.threads = step, torch.get_num_threads()
        program = step.execution.program
        self.deterministic = program.deterministic
        self.tensors = [(key(r.name), r.kind) for r in program.remembered if r.kind != "number"]
        self.kernels: dict[Any, Compiled] = {}

    def compiled(self, w: Tensor, size: int) -> Compiled:
        """Return the kernel for a parameter, compiled for so many elements."""
        many = size >= MANY and (self.threads > 1 or w.device.type != "cpu")
        found = self.kernels.get((w.dtype, w.device, many))
        if found is None:
            dtype = torch.float32 if w.dtype in HALF else w.dtype
            kernel = kernel_of(
                self.step.text, dtype, dtype if self.step.single else w.dtype, w.device, self.step.maximize
            )
            found = compiled_step(kernel, w.dtype, "many" if many else "few", self.threads)
            self.kernels[w.dtype, w.device, many] = found
        return found

    def prepared(self, w: Tensor, due: Due) -> Prepared | None:
        """Return a parameter prepared for a direct call, or None where that is not for it."""
        if self.step.lr == 0:  # it stays as it is
            return None
        return prepare(w, due, self.compiled(due.w, due.w.numel()))

    def update(self, due: Sequence[Due]) -> list[Due]:
        """Update parameters that are not prepared, and return those that no kernel is for."""
        pieces, large, alone = _sorted(due, self.step)
        calls = [(piece, self.compiled(piece[0].w, sum(one.w.numel() for one in piece))) for piece in pieces]
        single = [(one, self.compiled(one.w, one.w.numel())) for one in large]
        for piece, compiled in calls:
            self.update_piece(piece, compiled)
        # first all views, then all kernels: a kernel's tensors push the interpreter's own data out of the cache
        arranged = [(compiled.run, self.arranged(one, compiled)) for one, compiled in single]
        for run, arguments in arranged:
            if arguments is not None:
                run(*arguments)
        if counts := [one.state["step"] for some in (*pieces, large) for one in some]:
            count(counts)
        return alone

    def arranged(self, one: Due, compiled: Compiled) -> list[Any] | None:
        """Return the arguments that update a parameter where it is, or update it if there are copies; its step count is left to add to."""
        w, g, state, kernel = one.w, one.g, one.state, compiled.kernel
        order = None if w.is_contiguous() or not self.deterministic else _order(w)
        rows, copies, size = list[Tensor](), list[tuple[Tensor, Tensor]](), w.numel()
        for name, kind in self.tensors:
            x: Tensor = state[name]
            if x.dtype != kernel.kept or x.device != kernel.device:
                x = state[name] = x.to(device=kernel.device, dtype=kernel.kept)
            rows.append(_row(x, order, copies) if kind == "tensor" else x)
            _check(rows[-1], size if kind == "tensor" else 1, name)
        g_row = _row(g if g.dtype == w.dtype else g.to(w.dtype), order, g_copies := list[tuple[Tensor, Tensor]]())
        _check(g_row, size, "the gradient")
        w_row = _row(w, order, copies)
        if self.step.lr == 0:  # a parameter stays as it is
            copies = [copy for copy in copies if copy[1] is not w_row]
            w_row = w_row.clone()
        keys = None if self.deterministic else kernel.keys(self.step.seed, one.index, one.t)
        arguments = [w_row, g_row, self.step.numbers(kernel, self.step.shared(one)), keys, *rows]
        self.step.remember_numbers(one)
        if not (copies or g_copies) and w_row.data_ptr() == w.data_ptr():
            return arguments
        compiled.run(*arguments)
        for x, row in copies:
            x.copy_(row.view(x.shape))
        return None

    def update_piece(self, piece: list[Due], compiled: Compiled) -> None:
        """Update small parameters together; their step counts are left to add to."""
        w, shapes, kernel = [one.w for one in piece], tuple([one.w.shape for one in piece]), compiled.kernel
        remembered = [[one.state[name] for one in piece] for name, _ in self.tensors]
        row = gathered(w, shapes, 0, w[0].dtype)
        g = gathered([one.g for one in piece], shapes, 1, w[0].dtype)
        kept = [gathered(x, shapes, slot, kernel.kept) for slot, x in enumerate(remembered, 2)]
        numbers = self.step.numbers(kernel, self.step.shared(piece[0]))
        compiled.run(row.row, g.row, numbers, None, *(x.row for x in kept))
        if self.step.lr != 0:  # with lr 0 a parameter stays as it is
            row.put_back(w)
        for x, tensors in zip(kept, remembered, strict=True):
            x.put_back(tensors)
        for one in piece:
            self.step.remember_numbers(one)


def _order(w: Tensor) -> list[int]:
    """Return the axes of a tensor from the outermost in memory to the innermost."""
    strides = w.stride()
    return sorted(range(w.dim()), key=lambda axis: -strides[axis])


def _row(x: Tensor, order: list[int] | None, copies: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Return the elements in a row: a view where they lie in this order, otherwise a copy, which is noted."""
    if order is None and x.is_contiguous():
        return x if x.dim() == 1 else x.view(-1)
    x = x if order is None else x.permute(order)
    row = x.reshape(-1).contiguous()  # a row may be a view with gaps
    if row.data_ptr() != x.data_ptr():
        copies.append((x, row))
    return row


def _check(row: Tensor, size: int, name: str) -> None:
    """Refuse what a kernel would read beyond: it does not look itself."""
    if row.numel() != size:
        raise RuntimeError(f"{name} has {row.numel()} elements, but its parameter needs {size}.")
