"""What a sweep says: its file, what it judges, what it searches and how."""
