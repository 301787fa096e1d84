"""What an association file says."""

from __future__ import annotations

import json
from pathlib import Path

from stpipe.models.associations import load_association


def test_everything_that_a_file_says_is_kept(tmp_path: Path) -> None:
    """Its own entries by name, members with their types, and whatever else there is."""
    own = {
        "asn_type": "image3",
        "asn_rule": "Asn_Lv3Image",
        "asn_id": "o001",
        "asn_pool": "jw01234_pool.csv",
        "program": "01234",
    }
    more = {"target": "t001", "version_id": None}
    member = {"expname": "a_cal.fits", "exptype": "background", "group_id": "one"}
    products = [{"name": "jw_x", "members": [member]}]
    path = tmp_path / "x_asn.json"
    path.write_text(json.dumps({**own, **more, "products": products}))

    for source in (path, {**own, **more, "products": products}):
        found = load_association(source)
        assert own == {name: getattr(found, name) for name in own}
        assert more == found.more
        (product,), (only,) = found.products, found.members
        assert ("jw_x", "background", "a_cal.fits") == (product.name, only.exptype, only.path.name)
        assert {"group_id": "one"} == only.more
        assert (only,) == product.of_type("background")
        assert () == product.of_type("science")
    assert tmp_path == load_association(path).members[0].path.parent
