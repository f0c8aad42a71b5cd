"""Keep what was measured of photos while they were decoded: image quality, perceptual hashes, EXIF."""
