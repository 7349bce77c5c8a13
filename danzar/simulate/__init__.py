"""The production planner on described devices and virtual time. No hardware, no clock, no I/O."""
