"""Compare optimizers fairly: one protocol for `neuropt evaluate` and for the finalists of a search.

Each optimizer is tuned at equally many learning rates on the same seeds, by validation, and reported on fresh seeds at the best rate.
"""
