"""Metrics of the paper's tables: they see masks and ids, never models."""
