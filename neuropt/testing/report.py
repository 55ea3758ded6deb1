"""What a conformance check found: one row a check, and what they add up to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["passed", "failed", "not applicable"]


@dataclass(frozen=True, slots=True)
class CheckRow:
    """What one check found.

    Args:
        check: its name, a key of `neuropt.testing.checks()`.
        status: "passed", "failed" or "not applicable".
        detail: one line: what was seen, what was expected and what happened instead, or why the check does not apply.
    """

    check: str
    status: Status
    detail: str


@dataclass(frozen=True, slots=True)
class Report:
    """What `check_optimizer` found. It is true where it `passed`, and prints as a table.

    Args:
        optimizer: name of the class that was checked.
        rows: one for each check, in the order in which they ran.

    Example:
        >>> report = Report("Mine", (CheckRow("closure", "passed", "ran once"), CheckRow("pickle", "failed", "no attribute 't'")))
        >>> report.passed, [row.check for row in report.failures]
        (False, ['pickle'])
        >>> print(report)
        check    status  detail
        closure  passed  ran once
        pickle   failed  no attribute 't'
        Mine: 1 passed, 1 failed, 0 not applicable
    """

    optimizer: str
    rows: tuple[CheckRow, ...]

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return not self.failures

    @property
    def failures(self) -> tuple[CheckRow, ...]:
        """The rows of the checks that failed."""
        return self._with("failed")

    @property
    def summary(self) -> str:
        """One line: how many checks passed, failed, and did not apply."""
        kinds: tuple[Status, ...] = ("passed", "failed", "not applicable")
        return f"{self.optimizer}: {', '.join(f'{len(self._with(kind))} {kind}' for kind in kinds)}"

    def raise_for_failures(self) -> None:
        """Do nothing where all checks passed.

        Raises:
            ConformanceError: naming each check that failed, with its detail.
        """
        if not self.passed:
            raise ConformanceError(self)

    def _with(self, status: Status) -> tuple[CheckRow, ...]:
        return tuple(row for row in self.rows if row.status == status)

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        cells = [("check", "status", "detail"), *((row.check, row.status, row.detail) for row in self.rows)]
        check, status = (max(len(row[column]) for row in cells) for column in (0, 1))
        return "\n".join([f"{a:{check}}  {b:{status}}  {c}" for a, b, c in cells] + [self.summary])


class ConformanceError(AssertionError):
    """An optimizer failed some checks; `report` holds all of them."""

    def __init__(self, report: Report) -> None:
        self.report = report
        lines = [f"  {row.check}: {row.detail}" for row in report.failures]
        super().__init__("\n".join([report.summary, *lines]))
