"""The shell around the scheduler: its owner task, loads and unloads, journal, measurements."""
