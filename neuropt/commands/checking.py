"""`neuropt check`: whether an optimizer does what training code expects of any torch optimizer."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from neuropt.commands.printing import print_json, print_rows

TARGET_HELP = (
    "MODULE:CLASS, FILE.py:CLASS, a name that `neuropt optimizers` lists, or a rule; a module or file is imported"
)


@dataclass(frozen=True)
class Check:
    """Check that an optimizer does what training code expects of it; exit with 1 where it does not."""

    target: Annotated[Positional[str], arg(metavar="TARGET", help=TARGET_HELP)]
    hyper: tuple[str, ...] = ()
    """hyperparameters that it is made with, such as lr=0.1 betas=0.9,0.99"""
    strict: bool = False
    """also refuse NaN, infinity and a beta of 1 by name, and resume to the bit in every type, as neuropt's own classes do"""
    backend: Literal["eager", "aot_eager", "inductor", "none"] = "eager"
    """of torch.compile, for the check of a compiled step; none leaves it out"""
    json: bool = False
    """print JSON"""

    def __call__(self) -> int:
        """Print the report, and return 1 where a check failed."""
        from neuropt.testing import check_optimizer  # imports torch
        from neuropt.testing.targets import find_factory

        factory = find_factory(self.target, self.hyper)
        backend = None if self.backend == "none" else self.backend
        try:
            report = check_optimizer(factory, strict=self.strict, backend=backend, on_fail=None)
        except TypeError as error:
            raise ValueError(f"{self.target}: {error}") from error
        rows = [asdict(row) for row in report.rows]
        if self.json:
            print_json({"optimizer": report.optimizer, "passed": report.passed, "checks": rows})
        else:
            print_rows(rows, as_json=False)
            print(f"\n{report.summary}")
        return 0 if report.passed else 1
