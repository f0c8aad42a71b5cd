"""Find similar, repeated and unusual images by their embeddings, and lay embeddings out in a plane."""
