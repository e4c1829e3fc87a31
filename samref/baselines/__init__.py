"""Other refiners, measured by the same protocol as SAMRefiner."""
