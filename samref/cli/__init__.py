"""The command `samref`. Nothing that takes long to import is imported before options and paths are known to be good."""
