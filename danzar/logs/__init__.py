"""The log: lines for people, lines for programs, both bounded and without secrets."""
