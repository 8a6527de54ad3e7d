"""Training seen from the archive: the page of a run, and whether a new model is better here."""
