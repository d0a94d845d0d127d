"""Files into rows, purely: readers that stream, what is wrong with a row, which column is which,
and how scores are read. Nothing here knows the database."""
