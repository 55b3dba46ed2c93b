"""Recipes as plain data: files, overrides by dotted path, which code they may name. Loads no torch."""
