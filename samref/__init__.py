"""samref: better segmentation masks from coarse ones, with a frozen Segment Anything model (SAMRefiner)."""

__version__ = "0.1.0"
