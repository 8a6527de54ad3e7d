"""The index of an archive: who is this, where else are they, and who is not named yet."""
