"""The optimizer as its owner sees it: one face for batch sizes, clean-up, settings and history."""
