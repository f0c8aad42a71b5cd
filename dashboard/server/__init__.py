"""Routes, caches and middleware beside Streamlit's own."""
