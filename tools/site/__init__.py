"""How mkdocs builds the documentation's site."""
