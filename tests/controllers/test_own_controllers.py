"""Controllers of one's own file: what is run, what is checked, and what is said of faulty ones."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch

from controllers import Known, Outcome, build_controller, create_controller, load_preset
from tests.controllers.small_space import SmallSpace

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_controller.py"
SPACE = SmallSpace(groups=2)
FILE = """
from neuropt import Proposal

number = 3

class Zeros:
    def __init__(self, space, seed):
        self.asked = 0
    def begin(self, known):
        pass
    def ask(self, n):
        self.asked += n
        return [Proposal(self.asked - n + i, {tokens}) for i in range(n)]
    def tell(self, outcomes):
        {tell}
    def metrics(self):
        return {metrics}
    def state_dict(self):
        return dict(asked=self.asked)
    def load_state_dict(self, state):
        self.asked = state["asked"]

class Half:
    def __init__(self, space, seed):
        self.ask = 3

class Impatient(Zeros):
    def ask(self, n):
        return super().ask(n)[1:]

class Forgetful(Zeros):
    def ask(self, n):
        self.asked = 0
        return super().ask(n)

class Talkative(Zeros):
    def ask(self, n):
        return ["a rule"] * n

class Faulty:
    def __init__(self, space, seed):
        self.nothing = {{}}["none"]
"""


def written(folder: Path, tokens: str = "(0, 1, 0, 0, 0) * 2", tell: str = "pass", metrics: str = "{}") -> Path:
    path = folder / "mine.py"
    path.write_text(FILE.format(tokens=tokens, tell=tell, metrics=metrics), encoding="utf-8")
    return path


def allowed() -> str:
    return str(create_controller("random", SPACE, seed=1).ask(1)[0].tokens)


def test_the_example_climbs_and_goes_on_exactly() -> None:
    def rewarded(controller: str, rounds: int) -> list[int]:
        """Rewards are the sums of the tokens; return the best one after each round."""
        climber = create_controller(controller, SPACE, seed=1)
        best: list[int] = []
        for _ in range(rounds):
            proposals = climber.ask(10)
            sums = [sum(one.tokens) for one in proposals]
            climber.tell([Outcome(p.id, p.tokens, "trained", s) for p, s in zip(proposals, sums, strict=True)])
            best.append(max([*best[-1:], *sums]))
        return best

    assert rewarded(f"{EXAMPLE}:HillClimbing", 20)[-1] > rewarded("random", 20)[-1]
    original, resumed = (create_controller(f"{EXAMPLE}:HillClimbing", SPACE, seed=s) for s in (1, 2))
    original.tell([Outcome(p.id, p.tokens, "trained", sum(p.tokens)) for p in original.ask(7)])
    file = io.BytesIO()
    torch.save(original.state_dict(), file)
    file.seek(0)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    assert resumed.ask(20) == original.ask(20)


def test_the_example_proposes_known_strings_first_and_learns_from_rewards() -> None:
    climber = create_controller(f"{EXAMPLE}:HillClimbing", SPACE, seed=1)
    strings = [p.tokens for p in create_controller("random", SPACE, seed=7).ask(3)]
    climber.begin([Known(strings[0]), Known(strings[1], reward=0.5), Known(strings[2])])
    assert [p.tokens for p in climber.ask(2)] == [strings[0], strings[2]]
    near = [sum(a != b for a, b in zip(p.tokens, strings[1], strict=True)) for p in climber.ask(20)]
    assert sum(changed <= 2 for changed in near) > 10


def test_a_file_travels_as_its_text(tmp_path: Path) -> None:
    path = written(tmp_path, tokens=allowed())
    settings = load_preset(f"{path}:Zeros").settings
    path.unlink()
    assert [p.id for p in build_controller(settings, SPACE, 1).ask(2)] == [0, 1]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("other", r"mine.py:other must be a class that is called with \(space, seed\), but is missing"),
        ("number", r"mine.py:number must be a class .*, but is 3"),
        ("Half", r"mine.py:Half has no begin, ask, tell, metrics, state_dict, load_state_dict"),
        ("Faulty", r"mine.py, __init__, line 42: KeyError: 'none'"),
    ],
)
def test_what_is_no_controller_is_one_line(name: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        create_controller(f"{written(tmp_path)}:{name}", SPACE, seed=1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 / 0", r"controller file .*mine.py raised ZeroDivisionError: division by zero"),
        ("def", r"controller file .*mine.py raised SyntaxError"),
        ("raise SystemExit(3)", r"controller file .*mine.py raised SystemExit: 3"),
        ("\xff", r"controller file .*mine.py cannot be read: it is not UTF-8"),
    ],
)
def test_a_file_that_does_not_run_is_one_line(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=said):
        create_controller(f"{tmp_path / 'mine.py'}:Zeros", SPACE, seed=1)


def test_a_file_that_is_not_there_one_without_a_name_and_settings_for_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"controller file .*none.py cannot be read: No such file"):
        create_controller(f"{tmp_path / 'none.py'}:Zeros", SPACE, seed=1)
    with pytest.raises(ValueError, match=r"must also say which class of the file is meant: .*mine.py:NAME"):
        create_controller(written(tmp_path), SPACE, seed=1)
    with pytest.raises(ValueError, match=r"mine.py:Zeros' has no settings, but got duplicates"):
        create_controller(f"{written(tmp_path)}:Zeros", SPACE, seed=1, overrides={"duplicates": "skip"})


@pytest.mark.parametrize(
    ("name", "tokens", "said"),
    [
        ("Impatient", allowed(), r"mine.py:Impatient: ask\(3\) must return 3 proposals, but returned 2"),
        (
            "Talkative",
            allowed(),
            r"mine.py:Talkative: ask\(3\) must return a list of Proposal, but returned \['a rule'",
        ),
        ("Zeros", "(0, 1)", r"mine.py:Zeros: Proposal 0 must have 10 tokens, but \[0, 1\] has 2"),
        ("Zeros", "(99,) * 10", r"mine.py:Zeros: Proposal 0: the space does not allow token 99 at position 0"),
        ("Zeros", "('a',) * 10", r"mine.py:Zeros: "),
        ("Zeros", "[][0]", r"mine.py, ask, line 13: IndexError: list index out of range"),
    ],
)
def test_what_it_proposes_is_checked(name: str, tokens: str, said: str, tmp_path: Path) -> None:
    controller = create_controller(f"{written(tmp_path, tokens=tokens)}:{name}", SPACE, seed=1)
    with pytest.raises(ValueError, match=said):
        controller.ask(3)


def test_ids_count_on(tmp_path: Path) -> None:
    controller = create_controller(f"{written(tmp_path, tokens=allowed())}:Forgetful", SPACE, seed=1)
    controller.ask(3)
    with pytest.raises(ValueError, match=r"ids count on from 0, so that the next one is 3, but ask\(1\) returned 0"):
        controller.ask(1)


def test_its_faults_in_learning_and_reporting_are_one_line_each(tmp_path: Path) -> None:
    path = written(tmp_path, tell="outcomes[0].rewards", metrics="{'updates': 'many'}")
    controller = create_controller(f"{path}:Zeros", SPACE, seed=1)
    with pytest.raises(ValueError, match=r"mine.py, tell, line 15: AttributeError: 'Outcome' object has no attribute"):
        controller.tell([Outcome(0, (0,), "rejected")])
    with pytest.raises(ValueError, match=r"metrics\(\) must return names with finite numbers, but returned {'updates'"):
        controller.metrics()


def test_the_state_of_another_file_is_refused(tmp_path: Path) -> None:
    state = create_controller(f"{written(tmp_path)}:Zeros", SPACE, seed=1).state_dict()
    path = written(tmp_path, tell="return None")
    with pytest.raises(ValueError, match="another controller: algorithm is"):
        create_controller(f"{path}:Zeros", SPACE, seed=1).load_state_dict(state)
