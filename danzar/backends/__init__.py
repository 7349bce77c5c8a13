"""What runs inside a worker process; imported nowhere else."""
