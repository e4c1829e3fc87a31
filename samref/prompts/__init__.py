"""Noise-tolerant prompts mined from coarse masks (paper, section 3.2)."""
