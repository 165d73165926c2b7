"""What is simulated: trajectories."""
