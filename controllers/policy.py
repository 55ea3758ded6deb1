"""The LSTM policy: a string of tokens, one softmax at a time.

At position k the network has read the tokens before k and gives a distribution over the `choices[k]` tokens there. Masked tokens get
logit -inf, so that their probability is exactly 0. Three uses share one set of weights: `sample` draws strings step by step,
`evaluate` scores given strings in one pass, `log_probabilities` gives whole distributions.

Source: Bello, Zoph, Vasudevan, Le, "Neural Optimizer Search with Reinforcement Learning", ICML 2017, section 3.2.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from controllers.checks import check_masks
from controllers.controller import TokenSpace

NOT_FINITE = "not finite: the learning rate is too large, a reward is beyond float32, or a state is damaged."
"""What is wrong with weights or a gradient that hold NaN or infinity."""


class Policy(nn.Module):
    """A single-layer LSTM over token strings.

    log pi(tokens) = sum_k log softmax(head[k] h_k + bias[k])[tokens[k]],   h_k = LSTM(embedding(tokens[k-1]), h_{k-1})

    Positions of one kind share an embedding; every position has a softmax of its own, since softmaxes shared by kind took about twice
    as many rules to find a good one on two synthetic rewards.

    Args:
        space: gives the number of choices at each position and the masks.
        generator: draws the initial weights.
        hidden: units of the LSTM.
        embedding: numbers that stand for one token at the input.
        initial_range: all weights begin uniform in (-initial_range, initial_range).
    """

    def __init__(
        self,
        space: TokenSpace,
        generator: torch.Generator,
        *,
        hidden: int = 150,
        embedding: int = 64,
        initial_range: float = 0.08,
    ) -> None:
        super().__init__()
        self.space = space
        self.length, self.widest = len(space.choices), max(space.choices)
        self._first_row, rows = _first_rows(space)
        # modules draw their first weights from the global generator, which must stay as it was
        with torch.random.fork_rng(devices=[]):
            self.embedding = nn.Embedding(rows, embedding)
            self.lstm = nn.LSTM(embedding, hidden)
        self.head = nn.Parameter(torch.empty(self.length, self.widest, hidden))
        self.bias = nn.Parameter(torch.empty(self.length, self.widest))
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(-initial_range, initial_range, generator=generator)

    def allowed(self, tokens: NDArray[np.int64]) -> Tensor:
        """Collect the masks met along each string: tokens (batch, length) -> bool (batch, length, widest)."""
        allowed = np.zeros((len(tokens), self.length, self.widest), dtype=np.bool_)
        for k, choices in enumerate(self.space.choices):
            allowed[:, k, :choices] = self.space.masks(tokens[:, :k])
        return torch.from_numpy(allowed)

    def log_probabilities(self, tokens: Tensor, allowed: Tensor) -> Tensor:
        """Give log pi(. | prefix) at every position, -inf where masked: (batch, length, widest)."""
        start = torch.zeros(len(tokens), 1, dtype=torch.int64)
        rows = torch.cat([start, tokens[:, :-1] + self._first_row[:-1]], dim=1)  # (batch, length)
        h, _ = self.lstm(self.embedding(rows.T))  # (length, batch, hidden)
        logits = torch.baddbmm(self.bias[:, None, :], h, self.head.transpose(1, 2))  # (length, batch, widest)
        return logits.transpose(0, 1).masked_fill(~allowed, -torch.inf).log_softmax(dim=-1)

    def evaluate(self, tokens: NDArray[np.int64], allowed: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Score strings: log pi(tokens), and the entropies of the distributions along them, summed; both (batch,).

        Pass `allowed(tokens)` to score the same strings several times without asking the space again. A string that the masks forbid has
        log-probability -inf.
        """
        given = torch.from_numpy(tokens)
        allowed = self.allowed(tokens) if allowed is None else allowed
        log_pi = self.log_probabilities(given, allowed)
        chosen = log_pi.gather(2, given[:, :, None])[:, :, 0]  # (batch, length)
        # 0 log 0 = 0: masked terms leave before the product, which would be NaN, in the gradient too
        entropies = -(log_pi.exp() * log_pi.masked_fill(~allowed, 0.0)).sum(dim=2)
        return chosen.sum(dim=1), entropies.sum(dim=1)

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator) -> tuple[NDArray[np.int64], Tensor]:
        """Draw strings and say how probable they were: tokens (n, length), log-probability (n,).

        Raises:
            ValueError: if the space allows no token after some prefix, or a weight is not finite.
        """
        tokens = np.zeros((n, self.length), dtype=np.int64)
        log_probability = torch.zeros(n)
        w_x, w_h, b_x, b_h = self.lstm.all_weights[0]
        # the input's part of the gates is one row per token: computed once, not at each step
        gates_of_token = torch.addmm(b_x + b_h, self.embedding.weight, w_x.T)  # (rows, 4 hidden)
        # argmax(log p + Gumbel noise) draws from p; the noise of all steps in one call
        uniform = torch.rand(n, self.length, self.widest, generator=generator)
        gumbel = -torch.log(-torch.log(uniform.clamp_min_(torch.finfo(torch.float32).tiny)))
        rows = torch.zeros(n, dtype=torch.int64)
        h = c = torch.zeros(n, self.lstm.hidden_size)
        for k, choices in enumerate(self.space.choices):
            h, c = _lstm_step(torch.addmm(gates_of_token[rows], h, w_h.T), c)
            allowed = torch.from_numpy(self.space.masks(tokens[:, :k]))
            logits = torch.addmm(self.bias[k, :choices], h, self.head[k, :choices].T)
            log_pi = logits.masked_fill_(~allowed, -torch.inf).log_softmax(dim=1)  # (n, choices)
            token = (log_pi + gumbel[:, k, :choices]).argmax(dim=1)
            log_probability += log_pi.gather(1, token[:, None])[:, 0]
            tokens[:, k] = token.numpy()
            rows = token + self._first_row[k]
        if not torch.isfinite(log_probability).all():
            for k in range(self.length):  # looked for only now, as it costs time at each step
                check_masks(self.space.masks(tokens[:, :k]), tokens[:, :k])
            raise ValueError(f"The policy's weights are {NOT_FINITE}")
        return tokens, log_probability


def _first_rows(space: TokenSpace) -> tuple[Tensor, int]:
    """Lay the vocabularies of all kinds in one table, behind the start token: first row of each position, number of rows."""
    first, rows = {}, 1
    for kind in sorted(set(space.kinds)):
        first[kind] = rows
        rows += max(c for c, of_kind in zip(space.choices, space.kinds, strict=True) if of_kind == kind)
    return torch.tensor([first[kind] for kind in space.kinds]), rows


def _lstm_step(gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """c' = sigmoid(f) c + sigmoid(i) tanh(z),   h' = sigmoid(o) tanh(c');   gates in torch's order i, f, z, o."""
    i, f, z, o = gates.chunk(4, dim=1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(z)
    return torch.sigmoid(o) * torch.tanh(c), c
