"""Parts of Explore and Overview that show photos in other ways than the gallery."""
