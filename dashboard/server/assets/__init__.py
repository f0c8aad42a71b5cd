"""Scripts that the server gives to browsers: those of the components, and Streamlit's own."""
