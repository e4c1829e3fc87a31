"""Tables, figures and galleries from the files that runs leave; imports nothing of the run."""
