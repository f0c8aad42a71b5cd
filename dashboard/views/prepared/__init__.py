"""What pages say of a run that is too large to be read into memory."""
