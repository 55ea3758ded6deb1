"""Solve A x = b where A is known only by its products with vectors, as a Fisher matrix of 160,000 weights must be."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def conjugate_gradients(
    product: Callable[[Tensor], Tensor], b: Tensor, iterations: int, tolerance: float = 1e-10
) -> Tensor:
    """Return x with A x close to b, for a symmetric positive definite A.

    alpha_k = r_k r_k / (p_k A p_k),  x_k+1 = x_k + alpha_k p_k,  r_k+1 = r_k - alpha_k A p_k,  p_k+1 = r_k+1 + (r_k+1 r_k+1 / r_k r_k) p_k

    Exact after as many iterations as A has different eigenvalues; ends early once |r|^2 <= tolerance |b|^2.

    Args:
        product: p -> A p.
        b: (n,).
        iterations: at most so many products.
        tolerance: of the squared residual.

    Example:
        >>> A = torch.tensor([[2.0, 0.0], [0.0, 4.0]])
        >>> conjugate_gradients(lambda p: A @ p, torch.tensor([2.0, 2.0]), iterations=2).tolist()
        [1.0, 0.5]

    Source: Hestenes and Stiefel, "Methods of conjugate gradients for solving linear systems", 1952.
    """
    x, r, p = torch.zeros_like(b), b.clone(), b.clone()
    rr = first = r @ r
    for _ in range(iterations):
        if rr <= tolerance * first:
            break
        product_p = product(p)
        curvature = p @ product_p
        if not curvature > 0:  # rounding has eaten the rest
            break
        alpha = rr / curvature
        x, r = x + alpha * p, r - alpha * product_p
        rr, before = r @ r, rr
        p = r + (rr / before) * p
    return x
