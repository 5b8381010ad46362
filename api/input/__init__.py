"""What callers send: queries, paths, forms and their values, checked; and what is wrong with it."""
