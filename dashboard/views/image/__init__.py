"""The Image page: one photo under the masks of several runs."""
