"""What the broker decided, in words."""
