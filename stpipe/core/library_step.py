"""LibraryStep: a step over many exposures, such as the members of an association.

`process` takes a `ModelLibrary`, which opens one member at a time, and returns that library with
members replaced, one model made of all, or a mapping of models by label. Override `process`, declare
`outputs`; one that is `many` for a library that goes on.

    class Median(LibraryStep):
        alias = suffix = "median"

        def process(self, library):
            return models.ImageModel(np.median([m.data for m in library], axis=0))
"""

from __future__ import annotations

from stpipe.core.step import Step

__all__ = ["LibraryStep"]


class LibraryStep(Step):
    """A step over many exposures; see the module's text for what to override.

    `member_types` says which members of an association it works on, such as ``science``; others are
    left out. Empty: all of them. A step with MultiExposureModel among its `input_models` is given such
    a model, which has the exposures of one source, as it is.
    """

    takes_many = True
