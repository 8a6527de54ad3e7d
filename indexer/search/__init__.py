"""Which faces are most similar: exactly while that is fast enough, with inverted lists beyond.

face_index     the answers: base, what is new since, and what is gone
exact          every face is compared
cells          the base: faces in cells, four bits for each pair of numbers
tuning         how many cells are searched, and how often that finds who exact search finds
base_files     the base on the disk, with checksums
neighbours     the most similar faces of every face, for grouping
album_index    the index of an album
faiss_calls    all that is asked of FAISS; nothing else imports it
"""
