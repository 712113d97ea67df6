"""The world: one outside thing per file."""
