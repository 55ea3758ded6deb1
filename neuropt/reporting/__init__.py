"""Show what was found."""
