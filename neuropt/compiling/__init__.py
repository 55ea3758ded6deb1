"""From rules to torch: straight-line programs, their execution, and optimizers that run them."""
