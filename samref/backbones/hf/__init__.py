"""Segment Anything models in the format of `transformers`: SAM, HQ-SAM, SAM 2, SAM 3, EdgeTAM. The extra is `hf`."""
