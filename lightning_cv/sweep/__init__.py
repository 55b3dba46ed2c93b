"""Searches over recipes: which trials, run so that nobody has to babysit them, and what they found. No torch here."""
