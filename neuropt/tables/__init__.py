"""Complete tables: every distinct rule of a small search space, trained once, so that a search on it costs microseconds a rule."""
