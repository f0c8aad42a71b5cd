"""Read TIFF files: what Pillow would read wrongly, and the tags that say how the pixels lie."""
