"""Who is this: the named people, how alike a face is to them, and how often a stranger is."""
