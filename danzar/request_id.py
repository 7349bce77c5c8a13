"""Which request a line of the log belongs to."""
