"""Jobs: work that is accepted once, kept on disk, and ends exactly once."""
