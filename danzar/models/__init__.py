"""The manifest of models: where each file is, whether it is the right one, how to get it."""
