"""What goes in: alignments, weights, variants, assays, and where families are found."""
