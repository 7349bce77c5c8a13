"""The status API on loopback."""
