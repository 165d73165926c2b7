"""The induced chain: classes, stationary law, policy evaluation."""
