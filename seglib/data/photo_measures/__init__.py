"""Measure a photo while it is decoded: image quality, a perceptual hash, and what its camera recorded in EXIF."""
