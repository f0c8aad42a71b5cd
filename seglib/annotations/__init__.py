"""Masks that people bring: find their files, match them to photos, and read every usual format as index masks."""
