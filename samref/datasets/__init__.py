"""Data sets in their benchmarks' layouts; each yields `Sample`s and knows how its masks are written back."""
