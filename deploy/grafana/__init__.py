"""Danzar's dashboards for Grafana: what they show (this folder) and as JSON (``dashboards``)."""
