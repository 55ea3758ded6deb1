"""What a ledger holds, a class for each kind of row; `ledger` writes and reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from neuropt.training.children import Child


@dataclass(frozen=True, slots=True)
class ProposalRow:
    """What the ledger knows of a proposal before training.

    Args:
        id: the controller's.
        tokens: the string.
        rule: its text, negated where it descends only so.
        key: identity up to a factor of either sign.
        status: new, duplicate or rejected.
        original: of a duplicate, the proposal that had the rule first.
        reason: of a rejected rule.
        negated: whether the string says the opposite of `rule`.
        scale: mean |u| on the task's recorded trajectory.
    """

    id: int
    tokens: tuple[int, ...]
    rule: str
    key: str
    status: Literal["new", "duplicate", "rejected"]
    original: int | None
    reason: str | None
    negated: bool
    scale: float | None


@dataclass(frozen=True, slots=True)
class RewardRow:
    """What training a rule came to.

    Args:
        proposal: its id.
        status: trained or failed.
        reward: what the controller sees.
        accuracy, loss: validation, at the best learning rate, mean over seeds; None where no child came to the end.
        learning_rate: the best.
        reason: why it failed.
        children: all of them.
        fidelity: the share of the budget that it was trained for; under 1 where it was stopped at a rung.
        control: whether it was trained to the end whatever the rungs said.
        rungs: (fidelity, reward there) of each rung that it reached.
    """

    proposal: int
    status: Literal["trained", "failed"]
    reward: float
    accuracy: float | None
    loss: float | None
    learning_rate: float | None
    reason: str | None
    children: tuple[Child, ...] = ()
    fidelity: float = 1.0
    control: bool = False
    rungs: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class ClimbedRule:
    """A rule that was compared with others on the way.

    Args:
        proposal: its id.
        control: whether it was trained to the end whatever the rungs said.
        fidelity: the share of the budget that it was trained for.
        reward: at that fidelity.
        fidelities, rewards: of the rungs that it reached.
    """

    proposal: int
    control: bool
    fidelity: float
    reward: float
    fidelities: tuple[float, ...]
    rewards: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Event:
    """One step of a search, as recorded: the asking or the telling of a trial."""

    number: int
    kind: Literal["asked", "told"]
    trial: int


@dataclass(frozen=True, slots=True)
class FoundRule:
    """A rule of a run that was trained for the whole budget.

    Args:
        position: 1 for the best.
        proposal: its id.
        rule: text.
        reward, accuracy, loss, learning_rate: as in `RewardRow`.
    """

    position: int
    proposal: int
    rule: str
    reward: float
    accuracy: float | None
    loss: float | None
    learning_rate: float | None


@dataclass(frozen=True, slots=True)
class Environment:
    """What results depend on besides the configuration.

    Args:
        number: 1 for that in which the run was begun; one more each time that a change was accepted.
        event: the first event after it.
        facts: versions, machine, threads, hashes.
        first_proposal, first_update: where the controller began afresh here, the number of its first proposal and the number of updates
            before; else None.
    """

    number: int
    event: int
    facts: Mapping[str, str]
    first_proposal: int | None
    first_update: int | None


class Beginning(NamedTuple):
    """Where a controller began.

    Args:
        event: the first that it took part in.
        first_proposal: number of its first proposal.
        first_update: updates that were recorded before.
    """

    event: int
    first_proposal: int
    first_update: int
