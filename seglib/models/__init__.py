"""Model architectures, weight loading, and the registry of models by name."""
