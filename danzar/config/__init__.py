"""YAML in, typed and validated settings out."""
