"""Who may connect: certificates and passwords between machines, and keys of the HTTP API."""
