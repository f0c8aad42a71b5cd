"""What every request passes: the log, and the check of its host and origin."""
