"""The trimaps of Oxford-IIIT Pet: 1 is the pet, 2 the background and 3 its border, which is ignored.

Parkhi et al. 2012, https://www.robots.ox.ac.uk/~vgg/data/pets/
"""

from pathlib import PurePosixPath

from seglib.classes import BACKGROUND, animal_of_label

PET = "pet"

TRIMAP_VALUES = frozenset({1, 2, 3})

TRIMAP_CLASSES: tuple[str, ...] = (BACKGROUND, "cat", "dog", PET)
"""Classes of a converted trimap; `pet` is used if the species is unknown."""


def pet_species(name: str, label: str | None) -> str:
    """Return cat, dog or pet: from the folder label, else from the file name's first letter.

    Oxford-IIIT Pet capitalises cat breeds and writes dog breeds in lower case.
    """
    if (claimed := animal_of_label(label)) is not None:
        return claimed
    initial = PurePosixPath(name).name[:1]
    return "cat" if initial.isupper() else "dog" if initial.islower() else PET
