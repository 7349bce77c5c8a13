"""A process per engine and device: the contract, the protocol and the supervision."""
