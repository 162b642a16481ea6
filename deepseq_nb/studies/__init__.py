"""Many runs, and the book: results with their origin, grids, the runner, chapters and site."""
