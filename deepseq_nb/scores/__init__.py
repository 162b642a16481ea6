"""What a run is asked: scores, their agreement with experiments, and figures."""
