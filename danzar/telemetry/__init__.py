"""What the driver measures, as snapshots."""
