"""What generating pictures and videos takes, whether there is room, and what to change if not."""
