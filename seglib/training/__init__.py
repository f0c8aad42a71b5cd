"""Train or fine-tune a segmentation model on a folder of images and masks.

`trainer.train` takes image/mask pairs and a `TrainConfig`, and writes a checkpoint for `--weights` and a CSV of metrics
per epoch. All randomness is derived from (seed, epoch, position), so an interrupted training resumes to the same
results.
"""
