"""What the operator offers to visitors: folders of photos, masks and models, each by an id that shows no path."""
