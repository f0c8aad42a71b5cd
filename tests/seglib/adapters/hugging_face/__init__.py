"""Models of transformers. Nothing is downloaded: small models are built from their configs, with seeded weights."""
