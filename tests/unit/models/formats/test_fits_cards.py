"""Cards of FITS headers, held against astropy."""

from __future__ import annotations

import re
import string
from typing import Any

import hypothesis
import hypothesis.strategies as st
from astropy.io import fits

from stpipe.models.formats import fits_cards


@hypothesis.given(
    value=st.text(string.printable.replace("\n", "").replace("\r", ""), max_size=300)
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans(),
    comment=st.text(string.ascii_letters + " '/", max_size=60),
)
def test_cards_are_what_astropy_reads(value: Any, comment: str) -> None:
    """Cards that this package writes mean the same to astropy and to this package."""
    hypothesis.assume(fits_cards.is_representable(value))
    card = fits_cards.format_card("TESTING", value, comment)
    assert 0 == len(card.image) % 80
    assert value == card.value
    # astropy takes a quote before a slash for the end of the text, even in cards of its own.
    if not re.search("' */", str(value)):
        assert value == fits.Header.fromstring(card.image)["TESTING"]


@hypothesis.given(
    value=st.text(string.ascii_letters + "'& /=", max_size=200)
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans(),
    comment=st.text(string.ascii_letters, max_size=20),
)
def test_cards_of_astropy_are_read(value: Any, comment: str) -> None:
    """Cards that astropy writes have the same value here, and stay as they are."""
    header = fits.Header()
    header["TESTING"] = (value, comment) if len(str(value)) < 40 else value
    text = header.tostring(padding=False)
    parsed = fits_cards.parse_header(text)
    # astropy rounds numbers that take more than 20 columns; for text see above.
    read = fits.Header.fromstring(text)["TESTING"]
    assert (value.rstrip() if isinstance(value, str) else read) == parsed.get("TESTING")
    assert text.startswith("".join(card.image for card in parsed))
