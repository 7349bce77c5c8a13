"""Figures for Prometheus, read from what is known already: a scrape asks no driver."""
