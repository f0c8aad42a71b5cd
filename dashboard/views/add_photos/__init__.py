"""Choosing, uploading and forgetting folders of photos, and the demo that is shown until there are any."""
