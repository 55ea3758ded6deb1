"""Where an exported rule comes from."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

LARGEST = sys.float_info.max
"""An integer, as JSON may hold it, can be too large for a float without being infinite."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """What an export says about a rule's origin; whatever is None or empty is left out.

    Args:
        name: of the rule, such as a zoo name; the exported class is called after it.
        lr: learning rate that the export starts from.
        source: of a known rule: who published it.
        run: the run that found it, and its place, such as "digits:1".
        seed: of the run.
        task: tasks that it was searched on.
        date: of the export or the run, ISO 8601.
        versions: of neuropt, torch and Python.
        reward: in the search.
        summary: of the evaluation as a finalist, with its n.

    Raises:
        ValueError: a learning rate or reward that is not finite, or a learning rate below 0.
    """

    name: str | None = None
    lr: float = 1e-3
    source: str | None = None
    run: str | None = None
    seed: int | None = None
    task: str | None = None
    date: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    reward: float | None = None
    summary: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.lr <= LARGEST:
            raise ValueError(f"Provenance(lr=...) must be finite and >= 0, but got {self.lr}.")
        if self.reward is not None and not abs(self.reward) <= LARGEST:
            raise ValueError(f"Provenance(reward=...) must be finite or None, but got {self.reward}.")

    def lines(self) -> list[tuple[str, str]]:
        """Return (label, text) for each fact that is known, in reading order."""
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        facts = {
            "name": self.name,
            "source": self.source,
            "run": self.run,
            "seed": self.seed,
            "task": self.task,
            "reward": self.reward,
            "summary": self.summary,
            "date": self.date,
            "versions": versions or None,
        }
        return [(label, str(fact)) for label, fact in facts.items() if fact is not None]
