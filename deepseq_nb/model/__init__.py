"""The model and its training: priors, network, compiled loops, runs and their folders."""
