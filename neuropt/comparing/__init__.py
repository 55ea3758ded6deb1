"""Which controller finds good rules soonest, measured on complete tables, where a search costs seconds."""
