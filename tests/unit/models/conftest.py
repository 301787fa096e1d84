"""A model for tests of files."""

from __future__ import annotations

import pytest
from model_files import small_image

from stpipe import models


@pytest.fixture
def image() -> models.ImageModel:
    return small_image()
