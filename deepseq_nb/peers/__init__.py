"""Other models and other roads to the same numbers: sites, pairs, the original, Pyro, engines."""
