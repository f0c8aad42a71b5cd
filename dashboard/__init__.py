"""The dashboard: a web application that shows what a segmentation model predicts on a folder of photos.

    python -m dashboard                     # serves http://127.0.0.1:8501

All computation is done by `seglib`; nothing here imports torch, except in worker processes.
"""
