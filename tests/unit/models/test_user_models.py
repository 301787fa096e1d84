"""Models of users: schemas and files of their own, and what packages announce."""

from __future__ import annotations

from pathlib import Path

import pytest
from astropy.io import fits

from stpipe import models
from stpipe.errors import InputError
from stpipe.models import user_models

SCHEMA = """{"allOf": [{"$ref": "core.schema.json"}, {"properties": {
    "data": {"type": "data", "fits_hdu": "SCI", "dtype": "float32"},
    "mine": {"type": "string", "fits_keyword": "MINE"}}}]}"""


def mine(folder: Path, name: str) -> Path:
    """A file of a model that nobody knows."""
    primary = fits.PrimaryHDU()
    primary.header["DATAMODL"], primary.header["MINE"] = name, "yes"
    fits.HDUList([primary]).writeto(folder / "x.fits")
    return folder / "x.fits"


def test_schemas_and_files_of_python_are_registered(tmp_path: Path) -> None:
    """A path is enough to make a model known; a wrong one is said to be wrong."""
    (tmp_path / "plain.schema.json").write_text(SCHEMA)
    text = "from stpipe import models\nclass WrittenModel(models.DataModel):\n"
    (tmp_path / "written.py").write_text(f'{text}    schema_name = "plain.schema.json"\n')
    assert ["PlainModel"] == [m.__name__ for m in models.register(tmp_path / "plain.schema.json")]
    assert ["WrittenModel"] == [m.__name__ for m in models.register(tmp_path / "written.py")]
    assert [] == models.register(tmp_path / "written.py")
    model = models.open(mine(tmp_path, "WrittenModel"))
    assert ("WrittenModel", "yes") == (type(model).__name__, model.mine)
    with pytest.raises(InputError, match="neither a schema"):
        models.register(tmp_path / "nothing.py")
    (tmp_path / "bad.py").write_text("import nothing_of_the_sort")
    with pytest.raises(InputError, match=r"bad.py cannot be imported: ModuleNotFoundError"):
        models.register(tmp_path / "bad.py")


def test_entry_points_and_the_environment_announce_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of an unknown model makes the models of installed packages known."""
    package = tmp_path / "announced-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: announced\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[stpipe.models]\nany = announced_models\n")
    text = "from stpipe import models\nclass AnnouncedModel(models.DataModel):\n"
    (tmp_path / "announced_models.py").write_text(f'{text}    schema_name = "core.schema.json"\n')
    (tmp_path / "announcedToo.schema.json").write_text(SCHEMA)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("STPIPE_MODELS", str(tmp_path / "announcedToo.schema.json"))
    user_models._load_users.cache_clear()
    assert "AnnouncedModel" == type(models.open(mine(tmp_path, "AnnouncedModel"))).__name__
    assert "AnnouncedTooModel" in user_models.REGISTRY
    (package / "entry_points.txt").write_text("[stpipe.models]\nany = no_such_module\n")
    user_models._load_users.cache_clear()
    (tmp_path / "x.fits").unlink()
    with pytest.raises(
        InputError, match=r"no_such_module \(entry point any of stpipe.models\) can"
    ):
        models.open(mine(tmp_path, "NobodysModel"))
    user_models._load_users.cache_clear()
