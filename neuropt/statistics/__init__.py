"""What samples say about optimizers, one idea a file; every test is exact or a seeded permutation, and says when n is too small."""
