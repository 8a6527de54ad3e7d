"""What to ask the owner of an archive, so that few answers settle many faces."""
