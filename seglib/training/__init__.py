"""Training: nets of this house, or any FCN with a new head, from a folder of photos and masks.

In: pairs of photos and masks, a `Recipe`. Out: a checkpoint that `--weights` takes, a table of metrics per epoch.
`loop` is the story; each of its chapters is a file: `data` (which photo, which mask, which split), `augment` (one
picture as the net sees it once), `losses`, `schedule`, `checkpoint`, `report`. All that is random follows from
(seed, epoch, position), so that a killed training continues to the same numbers.
Knows nothing of stores and pages.
"""
