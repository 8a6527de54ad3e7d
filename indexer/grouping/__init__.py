"""Who belongs together: faces without a name, grouped into people."""
