"""Train or fine-tune a segmentation model on a folder of images and masks.

`seglib.train` takes a `TrainConfig` and writes a checkpoint, which runs like any other model, and a CSV of measures per
epoch. All randomness is derived from (seed, epoch, position), so an interrupted training resumes to the same
results.
"""
