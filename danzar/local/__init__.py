"""A local Discord on loopback, so that no token is needed to try Danzar."""
