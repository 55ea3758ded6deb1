"""A conformance suite for torch optimizers: what training code expects of any of them, one named check each.

>>> import torch
>>> from neuropt.testing import check_optimizer
>>> report = check_optimizer(torch.optim.SGD, backend=None)  # raises where a check fails
>>> {row.check: row.status for row in report.rows}["maximize"]
'passed'

`neuropt check MODULE:CLASS` prints the same report.
"""

from neuropt.testing.checking import check_optimizer, checks
from neuropt.testing.report import CheckRow, ConformanceError, Report

__all__ = ["CheckRow", "ConformanceError", "Report", "check_optimizer", "checks"]
