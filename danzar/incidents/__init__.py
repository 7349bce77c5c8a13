"""Incidents over their life: kept over restarts, muted, and told as a digest."""
