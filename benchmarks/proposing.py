"""What a rule costs before any training: ask, decode, identity, screen, and the controller's updates, in milliseconds.

python benchmarks/proposing.py --controller ppo --proposals 3000
"""

from __future__ import annotations

import argparse
import time

import torch

from controllers import Outcome, create_controller
from neuropt.searching.proposing import Proposer
from neuropt.tasks import get_task, load_task_data
from neuropt.training.recording import record_trajectory
from search_space import identify, load_space, screen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--space", default="arxiv2017")
    parser.add_argument("--groups", type=int, default=2)
    parser.add_argument("--controller", default="ppo")
    parser.add_argument("--proposals", type=int, default=2_000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    task = get_task("digits-mlp")
    trajectory = record_trajectory(task, load_task_data(task))
    space = load_space(arguments.space, groups=arguments.groups)
    controller = create_controller(arguments.controller, space, seed=0)
    proposer = Proposer(controller, space, trajectory)
    spent = dict.fromkeys(("ask", "decode", "identity", "screen", "tell"), 0.0)

    def timed(part: str, began: float) -> None:
        spent[part] += time.perf_counter() - began

    new = 0
    for _ in range(arguments.proposals // 20):
        began = time.perf_counter()
        proposals = controller.ask(20)
        timed("ask", began)
        outcomes = []
        for proposal in proposals:
            began = time.perf_counter()
            rule = space.decode(proposal.tokens)
            timed("decode", began)
            began = time.perf_counter()
            key = identify(rule).either
            timed("identity", began)
            began = time.perf_counter()
            accepted = key not in proposer.seen and screen(rule, trajectory).accepted
            timed("screen", began)
            status = "trained" if accepted else "rejected"
            new += accepted
            proposer.seen[key] = proposal.id
            reward = (proposal.tokens[0] % 5) / 5 if accepted else None  # any reward that varies
            outcomes.append(Outcome(proposal.id, proposal.tokens, status, reward))  # type: ignore[arg-type]  # text
        began = time.perf_counter()
        controller.tell(outcomes)
        timed("tell", began)
    for part, total in spent.items():
        print(f"{part:10} {1e3 * total / arguments.proposals:8.3f} ms a proposal")
    judged = spent["ask"] + spent["decode"] + spent["identity"] + spent["screen"]
    print(
        f"{'ask + identity + screen':10} {1e3 * judged / arguments.proposals:.3f} ms a proposal, {arguments.proposals} proposals, {new} new"
    )


if __name__ == "__main__":
    main()
