"""Who may connect to the queue: its address, certificates, users, and signed node commands."""
