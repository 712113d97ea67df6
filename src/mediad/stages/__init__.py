"""The story: one verb per file. A stage decides and records; what it needs from the world it names as a Protocol."""
