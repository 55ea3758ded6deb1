"""How long an optimizer's step takes: rules in their three forms, hand-coded optimizers, torch's own, and the memory that must move.

    python benchmarks/step_speed.py                                                # 10 million parameters, everything: an hour
    python benchmarks/step_speed.py --parameters 5000 1000000 --rules adam powersign
    python benchmarks/step_speed.py --parameters 100000000 --forms fused --optimizers --layouts few

One row is a rule of the zoo or an optimizer of `neuropt optimizers`. All forms of a row take turns with torch's fused Adam and with a copy
of memory, `--repeats` times; the table shows medians, and the ratios are medians over the turns, so what else runs on the machine
touches both sides. The floor is the time in which the bytes that a step must read and write (the gradient once, the parameters and what is
remembered twice) go through that copy. With one thread, time is that thread's processor time: on a busy machine the waiting is left out.
The first call of a fused step compiles it, with an empty cache unless `--cache` names one.
"""

from __future__ import annotations

import argparse
import ctypes
import inspect
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.optim import Optimizer

from neuropt.compiling.program import Program, compile_program
from neuropt.compiling.rule_optimizer import RuleOptimizer
from neuropt.compiling.signs import sign_powers
from neuropt.optimizers.catalogue import NamedOptimizer, named_optimizers
from search_space import zoo

FORMS = ("loop", "foreach", "fused")
FLAGS = {
    "loop": {"foreach": False},
    "foreach": {"foreach": True},
    "fused": {"fused": True},
}
LAYOUTS = {"few": 4, "many": 400}
"""Into how many tensors the parameters are cut."""
COSTLY = frozenset(("exp", "log", "log_abs", "**", "pow_abs", "cos", "tanh", "mod"))
AS_ADAM = ("adam", "powersign", "addsign", "lion", "adabound")
"""Rules that are to be as fast as torch's fused Adam."""
LR, STEPS, TURN = 1e-6, 10**6, 2e-3


@dataclass
class Row:
    """What was measured for one rule or optimizer.

    Args:
        name: in the zoo or the catalogue; `kind` says which.
        bound: `memory`, `arithmetic` (exp, log or power for each element), `draws` or `reductions`: what a fused step has to do.
        milliseconds: of a step, by form.
        floor: milliseconds in which the bytes of a step are copied.
        over_floor: fused over the floor; over_adam: fused over torch's fused Adam; first: seconds of the first call; temporaries: peak
            memory during a step beyond what stays, in multiples of the parameters.
    """

    kind: str
    name: str
    parameters: int
    layout: str
    bound: str
    milliseconds: dict[str, float] = field(default_factory=dict)
    floor: float = 0.0
    over_floor: dict[str, float] = field(default_factory=dict)
    over_adam: dict[str, float] = field(default_factory=dict)
    first: dict[str, float] = field(default_factory=dict)
    temporaries: dict[str, float | None] = field(default_factory=dict)


def make_parameters(count: int, layout: str) -> list[Tensor]:
    """Return matrices of so many parameters in all, with gradients."""
    torch.manual_seed(0)
    cuts = min(LAYOUTS[layout], count // 10)
    found = []
    for _ in range(cuts):
        w = torch.randn(count // cuts // 10, 10, requires_grad=True)
        w.grad = torch.randn_like(w) * 0.01
        found.append(w)
    return found


def rule_makers(name: str) -> dict[str, Callable[[list[Tensor]], Optimizer]]:
    """Return a constructor for each form of a rule."""
    decay = STEPS if zoo()[name].reads("T") else None
    return {f: partial(RuleOptimizer, rule=zoo()[name], lr=LR, decay_steps=decay, **FLAGS[f]) for f in FORMS}


def named_makers(row: NamedOptimizer) -> dict[str, Callable[[list[Tensor]], Optimizer]]:
    """Return a constructor for each form that a class has."""
    arguments = row.arguments(LR, STEPS)
    known = inspect.signature(row.factory).parameters
    flags = {f: FLAGS[f] for f in FORMS if set(FLAGS[f]) <= set(known)}
    return {f: partial(row.create, **arguments, **flags.get(f, {})) for f in ("loop", *flags)}


def bound(program: Program) -> str:
    """Say what a fused step of a rule has to do for each element."""
    powers = sign_powers(program)
    per_element = list(enumerate(program.instructions))[program.numbers :]
    constants = {n for n, leaf in enumerate(program.leaves) if leaf.source == "constant"}
    if not program.deterministic:
        return "draws"
    for position, i in per_element:
        is_power = i.function in ("**", "pow_abs") and i.arguments[1] in constants  # x ** 2 is a product
        if i.function in COSTLY and not is_power and position + len(program.leaves) not in powers:
            return "arithmetic"
    return "memory" if program.pointwise else "reductions"


def seconds(function: Callable[[], object], times: int) -> float:
    clock = time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
    start = clock()
    for _ in range(times):
        function()
    return (clock() - start) / times


def first_call(function: Callable[[], object]) -> float:
    """Return the seconds until a call is done, compilers in other processes included."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def peak_bytes(function: Callable[[], object]) -> int | None:
    """Return how far memory rises above where it was while a function runs; None where the system does not tell."""
    try:
        ctypes.CDLL(None).malloc_trim(0)  # freed memory goes back to the system, so that taking it again shows
        Path("/proc/self/clear_refs").write_text("5")  # forgets the highest resident size
        before = _status("VmRSS")
        function()
        return _status("VmHWM") - before
    except (OSError, AttributeError):
        return None


def _status(name: str) -> int:
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(name))
    return int(line.split()[1]) * 1024


def measure(
    row: Row, makers: dict[str, Callable[[list[Tensor]], Optimizer]], forms: Sequence[str], repeats: int
) -> None:
    """Fill a row: all its forms, torch's fused Adam and a copy take turns."""
    parameters = make_parameters(row.parameters, row.layout)
    source = torch.randn(row.parameters)
    target = torch.empty_like(source)
    turns: dict[str, Callable[[], object]] = {"copy": lambda: target.copy_(source)}
    turns["torch's fused Adam"] = torch.optim.Adam(parameters, lr=LR, fused=True).step
    optimizers = {form: makers[form](parameters) for form in forms if form in makers}
    turns |= {form: optimizer.step for form, optimizer in optimizers.items()}
    for form, optimizer in optimizers.items():
        row.first[form] = first_call(optimizer.step)
        peak = peak_bytes(optimizer.step)
        row.temporaries[form] = None if peak is None else peak / (4 * row.parameters)
    times = {name: max(1, min(1000, int(TURN / max(seconds(turn, 2), 1e-7)))) for name, turn in turns.items()}
    taken = [{name: seconds(turn, times[name]) for name, turn in turns.items()} for _ in range(repeats)]
    some = next(iter(optimizers.values()))
    kept = sum(x.numel() for x in some.state[parameters[0]].values() if isinstance(x, Tensor) and x.dim() > 0)
    moved = 3 + 2 * round(kept / parameters[0].numel())  # w twice, g once, what is remembered twice; a copy moves 2
    floors = [turn["copy"] * moved / 2 for turn in taken]
    row.floor = statistics.median(floors) * 1e3
    for form in optimizers:
        row.milliseconds[form] = statistics.median(turn[form] for turn in taken) * 1e3
        row.over_floor[form] = statistics.median(turn[form] / f for turn, f in zip(taken, floors, strict=True))
        row.over_adam[form] = statistics.median(turn[form] / turn["torch's fused Adam"] for turn in taken)


def table(rows: Sequence[Row], title: str) -> Table:
    """Return one table for one size and layout."""
    columns = [
        "",
        *(f"{form}, ms" for form in FORMS),
        "floor, ms",
        "best / floor",
        "best / fused Adam",
        "first call, s",
    ]
    found = Table(*columns, "temporaries", "bound", title=title)
    for row in rows:
        best = min(row.milliseconds, key=row.milliseconds.__getitem__)
        extra = row.temporaries[best]
        found.add_row(
            row.name if row.kind == "rule" else f"{row.name} (class)",
            *(f"{row.milliseconds[f]:.3f}" if f in row.milliseconds else "" for f in FORMS),
            f"{row.floor:.3f}",
            f"{row.over_floor[best]:.2f}",
            f"{row.over_adam[best]:.2f}",
            f"{row.first[best]:.2f}",
            "" if extra is None else f"{extra:.2f}x",
            row.bound,
        )
    return found


def print_targets(console: Console, rows: Sequence[Row]) -> None:
    """Say which rules and classes meet what is asked of a fused step; torch's own Adam is measured against itself."""
    fused = {(row.name, row.kind): row for row in rows if "fused" in row.milliseconds}
    adam = {of: row.over_adam["fused"] for of, row in fused.items() if row.name in AS_ADAM}
    floor = {of: row.over_floor["fused"] for of, row in fused.items() if row.bound in ("memory", "reductions")}
    for what, limit, found in (("torch's fused Adam", 1.0, adam), ("the memory floor", 1.3, floor)):
        missed = ", ".join(f"{name} ({kind}) {ratio:.2f}" for (name, kind), ratio in found.items() if ratio > limit)
        console.print(f"at most {limit}x {what}: {len(found)} of them, missed by: {missed or 'none'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parameters", type=int, nargs="+", default=[10_000_000], help="sizes of models")
    parser.add_argument("--layouts", nargs="+", choices=LAYOUTS, default=list(LAYOUTS), help="4 or 400 tensors")
    parser.add_argument("--rules", nargs="*", choices=zoo(), default=list(zoo()), metavar="NAME", help="of the zoo")
    names = list(named_optimizers())
    usual = [name for name in names if name != "lstm"]  # whose state is 80 numbers a parameter
    parser.add_argument(
        "--optimizers", nargs="*", choices=names, default=usual, metavar="NAME", help="of the catalogue"
    )
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=list(FORMS))
    parser.add_argument("--repeats", type=int, default=9, help="turns of each form")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cache", help="folder of compiled kernels; an empty one by default")
    parser.add_argument("--json", action="store_true", help="one list of rows instead of tables")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = arguments.cache or tempfile.mkdtemp(prefix="kernels-")
    console = Console(width=170, stderr=arguments.json)
    console.print(
        f"{platform.processor() or platform.machine()}, torch {torch.__version__}, {arguments.threads} thread"
    )
    start_compiler = RuleOptimizer(make_parameters(100, "few"), "g", fused=True).step
    console.print(f"the compiler's own start: {first_call(start_compiler):.1f} s\n")
    all_rows = []
    for count in arguments.parameters:
        for layout in arguments.layouts:
            rows = []
            for name in arguments.rules:
                rows.append(Row("rule", name, count, layout, bound(compile_program(zoo()[name]))))
                measure(rows[-1], rule_makers(name), arguments.forms, arguments.repeats)
            for name in arguments.optimizers:
                if not set(arguments.forms) & named_makers(named_optimizers()[name]).keys():
                    continue
                rows.append(Row("class", name, count, layout, ""))
                measure(rows[-1], named_makers(named_optimizers()[name]), arguments.forms, arguments.repeats)
            if not arguments.json:
                console.print(table(rows, f"{count:,} parameters in {LAYOUTS[layout]} tensors"))
            print_targets(console, rows)
            all_rows += rows
    if arguments.json:
        print(json.dumps([asdict(row) for row in all_rows], indent=1))


if __name__ == "__main__":
    main()
