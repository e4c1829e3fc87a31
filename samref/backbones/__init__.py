"""Segment Anything models behind one protocol: encode an image once, decode many prompted masks."""
