"""The dashboard: what did a segmentation network see in a folder of photos?

    python -m dashboard                     # serves http://127.0.0.1:8501

The rooms, each importing only from those before it: formats, settings, state, charts, components; session; data,
media, sidebar, ui; views; main; app. Everything that is computed comes from `seglib`; nothing here imports torch.
"""
