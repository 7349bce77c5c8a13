"""Keeping an installation for years: backups, restoring, and what a report of a fault needs."""
