"""Processes that train together: who they are, how they agree on a beginning, and how they all end when one does."""
