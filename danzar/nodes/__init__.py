"""More than one machine: what each tells the others, and what it may be told."""
