"""Face embedding networks: how they are built, read from weight files, and trained."""
