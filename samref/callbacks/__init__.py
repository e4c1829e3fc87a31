"""What happens around a run: scoring, writing masks, reporting, progress."""
