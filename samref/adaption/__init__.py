"""SAMRefiner++: label-free adaption of SAM's IoU head (paper, section 3.3)."""
