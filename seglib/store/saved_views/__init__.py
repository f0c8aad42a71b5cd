"""Views that were saved in a store, one JSON record each below `<store>/views/`."""
