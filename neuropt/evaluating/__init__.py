"""Compare optimizers fairly: one protocol for `neuropt evaluate` and for the finalists of a search.

Each optimizer gets one budget of trials on the same seeds, is chosen by validation, and is reported on fresh seeds at its best trial.
What may be said of it is worked out with it: docs/evaluation.md.
"""
