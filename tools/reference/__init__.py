"""The pages of docs/reference, made from the code: ``uv run python -m tools.reference``."""
