"""How commands become processes: on this machine, forked from a warm one. Loads no torch."""
