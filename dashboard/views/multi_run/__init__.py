"""What Compare and Evaluate share: several runs over the same photos, and links that name them."""
