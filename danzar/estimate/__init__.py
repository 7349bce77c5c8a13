"""What a model will need, read from its file before it is loaded."""
