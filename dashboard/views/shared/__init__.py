"""Elements that several pages draw: headers, controls, chart cards and galleries."""
