"""A local Discord on loopback, so that the bot can be tried without a token."""
