from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from search_space import RuleError, SearchSpace, identify, list_spaces, load_space, parse_rule

ICML = load_space("icml2017")


def tokens_of(space: SearchSpace, *texts: str) -> tuple[int, ...]:
    """Tokens by their texts; r1, r2, ... are earlier results."""
    vocabularies = (space.operands, space.unary, space.binary)
    found = []
    for kind, text in zip(space.kinds, texts, strict=True):
        texts_of_kind: Sequence[str] = vocabularies[kind]
        found.append(
            len(texts_of_kind) + int(text[1:]) - 1
            if text[0] == "r" and text[1:].isdigit()
            else texts_of_kind.index(text)
        )
    return tuple(found)


def test_sizes_of_the_published_spaces() -> None:
    assert ICML.size == 16 * 16 * 11 * 11 * 5 == 154_880
    assert load_space("icml2017", groups=2).size == 154_880 * 17 * 17 * 11 * 11 * 5
    assert load_space("arxiv2017", groups=1).size == 21 * 21 * 12 * 12 * 6
    assert load_space("arxiv2017").groups == 2


def test_sizes_of_the_wider_space() -> None:
    assert load_space("extended", groups=1).size == 31 * 31 * 26 * 26 * 9
    assert load_space("extended").size == 31 * 31 * 26 * 26 * 9 * 32 * 32 * 26 * 26 * 9
    # the last group: an earlier result on the left, or on the right unless the left is kept; op1 != op2; no sum
    first, second = 31 * 30 * 26 * 26 * 9, 31 * 26 * 26 * 8 + 31 * 26 * 26 * 7
    assert load_space("extended").allowed_size == first * second


def test_choices_grow_by_the_earlier_results() -> None:
    space = load_space("icml2017", groups=3)
    assert space.choices == (16, 16, 11, 11, 5, 17, 17, 11, 11, 5, 18, 18, 11, 11, 5)
    assert space.kinds == (0, 0, 1, 1, 2) * 3


@pytest.mark.parametrize(
    ("texts", "rule"),
    [
        (("g", "mhat", "x", "x", "x"), "g"),
        (("sign(g)", "g", "exp(x)", "x", "x * y"), "exp(sign(g)) * g"),
        (("g", "vhat", "-x", "sign(x)", "x / (y + 1e-8)"), "-(g / (sign(vhat) + 1e-08))"),
        (("adam", "1e-1 * w", "drop(x, 0.1)", "x", "x + y"), "drop(adam, 0.1) + 0.1 * w"),
        (("g", "g", "drop(x, 0.3)", "drop(x, 0.3)", "x + y"), "drop(g, 0.3) + drop(g, 0.3)"),
        (("noise(noise_std)", "g", "x", "clip(x, 1e-4)", "x - y"), "noise(0.1) - clip(g, 0.0001)"),
        (("1", "g", "exp(x)", "-x", "x - y"), "2.718281828459045 + g"),
    ],
)
def test_one_group_decodes(texts: tuple[str, ...], rule: str) -> None:
    assert ICML.decode(tokens_of(ICML, *texts)).text == rule


def test_results_are_inlined_when_used_once_and_named_when_used_twice() -> None:
    space = load_space("icml2017", groups=2)
    once = tokens_of(space, "sign(g)", "sign(m)", "x", "x", "x * y", "g", "r1", "x", "exp(x)", "x * y")
    assert space.decode(once).text == "g * exp(sign(g) * sign(m))"
    twice = tokens_of(space, "g", "mhat", "drop(x, 0.1)", "x", "x * y", "r1", "r1", "x", "exp(x)", "x * y")
    assert space.decode(twice).text == "r1 = drop(g, 0.1) * mhat\nu = r1 * exp(r1)"
    never = tokens_of(space, "g", "mhat", "x", "x", "x * y", "g", "r1", "x", "x", "x")
    assert space.decode(never).text == "g"


def test_four_groups_decode_to_named_results() -> None:
    space = load_space("tiny", groups=3)
    tokens = tokens_of(
        space, *["g", "mhat", "x", "x", "x * y"], *["r1", "g", "exp(x)", "x", "x * y"], *["r2", "r1", "x", "x", "x * y"]
    )
    assert space.decode(tokens).text == "r1 = g * mhat\nu = exp(r1) * g * r1"


def test_templates_may_use_an_argument_twice() -> None:
    space = SearchSpace("s", "", 1, ("g", "w"), ("drop(x, 0.1)", "x * sign(x)"), ("x * y * x", "y - x"))
    assert space.decode((0, 1, 0, 1, 0)).text == "x1 = drop(g, 0.1)\nu = x1 * (w * sign(w)) * x1"


def test_every_string_of_the_tiny_space_decodes_and_is_described() -> None:
    space = load_space("tiny")
    for tokens in itertools.product(*map(range, space.choices)):
        assert space.decode(tokens)
        assert space.describe(tokens).startswith(f"[{space.operands[tokens[0]]}, ")


def test_describe_names_the_tokens_and_the_results() -> None:
    space = load_space("tiny", groups=2)
    assert space.describe((0, 1, 2, 3, 1, 4, 0, 0, 1, 2)) == "[g, mhat, exp(x), clip(x, 1e-3), x * y] [r1, g, x, -x, x]"


def test_options_change_the_vocabulary() -> None:
    tokens = tokens_of(ICML, "mhat", "noise(noise_std)", "x", "drop(x, 0.5)", "x + y")
    changed = load_space("icml2017", bias_correction=False, noise_std=0.5, drop_rescale=True)
    assert ICML.decode(tokens).text == "mhat + drop(noise(0.1), 0.5)"
    assert changed.decode(tokens).text == "m + drop(noise(0.5), 0.5) / 0.5"
    corrected = tokens_of(ICML, "adam", "vhat", "x", "x", "x * y")
    assert changed.decode(corrected).text == "adam * v"  # Adam is bias-corrected by definition


@pytest.mark.parametrize("tokens", [(0,), (0, 0, 0, 0, 5), (0, 0, 0, 0, -1), (16, 0, 0, 0, 0), (0,) * 10])
def test_wrong_tokens_are_refused(tokens: tuple[int, ...]) -> None:
    for method in (ICML.decode, ICML.describe, ICML.allows):
        with pytest.raises(ValueError, match="tokens"):
            method(tokens)


def test_numpy_tokens_are_tokens() -> None:
    assert ICML.decode(np.array([0, 3, 0, 0, 2])).text == "g * mhat"


# -- encoding ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("groups", [1, 2])
def test_every_allowed_tiny_string_encodes_to_a_string_of_the_same_rule(groups: int) -> None:
    space = load_space("tiny", groups=groups)
    one = load_space("tiny")
    for tokens in itertools.product(*map(range, one.choices)):
        rule = one.decode(tokens)
        if one.allows(tokens) and (found := space.encode(rule)) is not None:
            assert space.allows(found)
            assert identify(space.decode(found)).exact == identify(rule).exact
        elif one.allows(tokens):
            pytest.fail(f"not encoded: {rule}")


@pytest.mark.parametrize(
    ("text", "groups", "described"),
    [
        ("adam", 1, "[adam, g, x, x, x]"),
        ("adam", 2, "[adam, g, x, x, x] [r1, g, x, x, x]"),
        ("g", 1, "[g, g ** 2, x, x, x]"),
        ("mhat / (sqrt(vhat) + 1e-8)", 1, "[adam, g, x, x, x]"),
        ("b = 0.9; a = b * prev(a) + (1 - b) * g; u = sign(a)", 1, "[sign(m), g, x, x, x]"),
        ("clip(mhat, 1e-4) * exp(vhat)", 1, "[mhat, vhat, clip(x, 1e-4), exp(x), x * y]"),
        ("exp(vhat) * clip(mhat, 1e-4)", 1, None),
        ("g * exp(sign(g) * sign(m))", 2, "[sign(g), sign(m), x, x, x * y] [g, r1, x, exp(x), x * y]"),
        ("g * exp(sign(g) * sign(m))", 1, "none"),
        ("-(g * mhat)", 1, None),
        ("tanh(g)", 2, "none"),
        ("g * 0.123", 2, "none"),
        ("a = g * mhat; u = a * exp(a)", 2, "none"),  # op1 and op2 would be one,
        ("drop(g, 0.1) * drop(mhat, 0.1)", 1, None),
    ],
)
def test_rules_encode(text: str, groups: int, described: str | None) -> None:
    space = load_space("icml2017", groups=groups)
    tokens = space.encode(parse_rule(text))
    if described == "none":
        assert tokens is None
        return
    assert tokens is not None
    assert identify(space.decode(tokens)).exact == identify(parse_rule(text)).exact
    if described is not None:
        assert sorted(space.describe(tokens)) == sorted(described)


def test_most_sampled_strings_encode() -> None:
    generator = np.random.default_rng(0)
    found = 0
    for _ in range(100):
        tokens = tuple(int(generator.integers(n)) for n in ICML.choices)
        if ICML.allows(tokens):
            found += ICML.encode(ICML.decode(tokens)) is not None
        else:
            found += 1
    assert found >= 95


# -- files ---------------------------------------------------------------------------------------------------------------------------

OWN = """
name = "mine"
description = "one line"
groups = 2
operands = ["g", "ema(g, 0.95)", "1e-2 * w"]
unary = ["x", "exp(x)", "clip(x, 1e-4)"]
binary = ["x * y", "x / (y + 1e-8)", "x"]

[options]
distinct_operands = false
"""


def test_spaces_that_ship() -> None:
    assert {"tiny", "icml2017", "arxiv2017", "extended"} <= list_spaces().keys()
    for name, description in list_spaces().items():
        assert description
        assert load_space(name).name == name


def test_a_file_of_one_s_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(OWN)
    space = load_space(path, use_earlier_results=False)
    assert (space.groups, space.distinct_operands, space.use_earlier_results) == (2, False, False)
    assert load_space(str(path), groups=1).decode((1, 0, 1, 0, 0)).text == "exp(ema(g, 0.95)) * g"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"g", ', '"g.x", ', "operands[0] is not a rule text: '.' (U+002E) is not part of the rule language"),
        ('"g", ', '"foo", ', "operands[0] is not a rule text: 'foo' is not defined"),
        ('"g", ', "1, ", 'operands[0] must be a rule text such as "g ** 2", but got 1'),
        ('"exp(x)"', '"exp(y)"', "unary[1] is not a rule text in x: 'y' is not defined"),
        ('"exp(x)"', '"exp(g)"', "unary[1] must contain x, such as exp(x), but got 'exp(g)'"),
        ('"exp(x)"', '"exp(x"', "unary[1] is not a rule text in x: ')' was expected"),
        ('"x * y"', '"x * z"', "binary[0] is not a rule text in x and y: 'z' is not defined"),
        ('"x * y"', '"' + "-" * 60 + 'x"', "binary[0] is nested deeper than"),
        ('["x", "exp(x)", "clip(x, 1e-4)"]', "[]", "unary must be a list of 1 to 1000 rule texts, but got ()"),
        ('["x", "exp(x)", "clip(x, 1e-4)"]', '"x"', "unary must be a list of rule texts, but got 'x'"),
        ("groups = 2", "groups = 7", "groups must be a whole number from 1 to 6, but got 7"),
        ("groups = 2", "groups = 1.5", "groups must be a whole number, but got 1.5"),
        ("groups = 2", "groups = true", "groups must be a whole number, but got True"),
        ("groups = 2", "group = 2", "unknown 'group'; there are name, description, source, groups"),
        ('name = "mine"', "", "name is missing; it must be a string"),
        ("distinct_operands = false", "distinct = false", "options: unknown distinct; there are bias_correction"),
        (
            "distinct_operands = false",
            "distinct_operands = 0",
            "options.distinct_operands must be true or false, but got 0",
        ),
        ("distinct_operands = false", 'noise_std = "a"', "options.noise_std must be a number, but got 'a'"),
        ("distinct_operands = false", "noise_std = nan", "noise_std must be a finite number from 0, but got nan"),
        ("distinct_operands = false", "noise_std = -1", "noise_std must be a finite number from 0, but got -1"),
        ("[options]", "[options", "is not TOML"),
        ('"x * y", "x / (y + 1e-8)", "x"', '"x + y"', "the constraints allow no string at all"),
    ],
)
def test_wrong_files_name_the_file_and_the_field(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    assert old in OWN
    path.write_text(OWN.replace(old, new))
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the message is compared below
        load_space(path)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)


def test_hostile_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("a" * 1_000_000)
    with pytest.raises(ValueError, match="at most 200000 bytes"):
        load_space(path)
    path.write_text("a = " + "[" * 100_000)
    with pytest.raises(ValueError, match="is not TOML"):
        load_space(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="is not TOML"):
        load_space(path)


def test_unknown_names_list_what_there_is() -> None:
    with pytest.raises(FileNotFoundError, match=r"there are arxiv2017, extended, icml2017, tiny"):
        load_space("icml2018")
    with pytest.raises(FileNotFoundError):
        load_space("../search_space/spaces/tiny")


def test_options_given_in_code_are_checked_too() -> None:
    with pytest.raises(ValueError, match="options: unknown betas"):
        load_space("tiny", betas=0.5)
    with pytest.raises(RuleError, match=r"operands\[0\]"):
        SearchSpace("s", "", 1, ("q",), ("x",), ("x",))
