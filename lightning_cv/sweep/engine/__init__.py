"""What gets trials trained: the study, its claims, and the programs that run."""
