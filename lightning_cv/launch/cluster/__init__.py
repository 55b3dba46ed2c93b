"""Recipes and sweeps on a cluster: the batch script, what is checked before it waits, and what became of its jobs."""
