"""Run a model on images: configuration, batching over threads, and the torch and OpenVINO backends."""
