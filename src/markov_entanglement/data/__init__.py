"""What was recorded: logs, their statistics, and what these can say."""
