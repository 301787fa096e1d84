"""Reference models of flux calibration: conversion factors, aperture corrections, pixel areas."""

from __future__ import annotations

from stpipe.models.classes.reference_files import Reference

__all__ = [
    "ABVegaOffsetModel",
    "BarshadowModel",
    "Extract1dIFUModel",
    "FgsImgApcorrModel",
    "FgsImgPhotomModel",
    "MirImgApcorrModel",
    "MirImgPhotomModel",
    "MirLrsApcorrModel",
    "MirLrsPathlossModel",
    "MirLrsPhotomModel",
    "MirMrsApcorrModel",
    "MirMrsPhotomModel",
    "MirMrsPtCorrModel",
    "MirWfssPhotomModel",
    "NirspecIfuAreaModel",
    "NirspecMosAreaModel",
    "NirspecSlitAreaModel",
    "NisImgApcorrModel",
    "NisImgPhotomModel",
    "NisSossPhotomModel",
    "NisWfssApcorrModel",
    "NisWfssPhotomModel",
    "NrcImgApcorrModel",
    "NrcImgPhotomModel",
    "NrcWfssApcorrModel",
    "NrcWfssPhotomModel",
    "NrsFsApcorrModel",
    "NrsFsPhotomModel",
    "NrsIfuApcorrModel",
    "NrsMosApcorrModel",
    "NrsMosPhotomModel",
    "PathlossModel",
    "PixelAreaModel",
    "SossBkgModel",
    "ThroughputModel",
    "TsoPhotModel",
    "WfssBkgModel",
]


class ABVegaOffsetModel(Reference):
    """Offsets between AB and Vega magnitudes."""

    schema_name = "abvegaoffset.schema.json"


class BarshadowModel(Reference):
    """Shadow of the bars between shutters."""

    schema_name = "barshadow.schema.json"
    primary = "data1x1"


class Extract1dIFUModel(Reference):
    """Extraction apertures of integral-field units."""

    schema_name = "extract1difu.schema.json"


class FgsImgApcorrModel(Reference):
    """Aperture corrections of FGS imaging."""

    schema_name = "fgsimgapcorr.schema.json"
    primary = "apcorr_table"


class FgsImgPhotomModel(Reference):
    """Flux calibration of FGS imaging."""

    schema_name = "fgsimgphotom.schema.json"
    primary = "phot_table"


class MirImgApcorrModel(Reference):
    """Aperture corrections of MIRI imaging."""

    schema_name = "mirimgapcorr.schema.json"
    primary = "apcorr_table"


class MirImgPhotomModel(Reference):
    """Flux calibration of MIRI imaging."""

    schema_name = "mirimgphotom.schema.json"
    primary = "phot_table"


class MirLrsApcorrModel(Reference):
    """Aperture corrections of the MIRI LRS."""

    schema_name = "mirlrsapcorr.schema.json"
    primary = "apcorr_table"


class MirLrsPathlossModel(Reference):
    """Path loss of the MIRI LRS."""

    schema_name = "mirlrspathloss.schema.json"
    primary = "pathloss_table"


class MirLrsPhotomModel(Reference):
    """Flux calibration of the MIRI LRS."""

    schema_name = "mirlrsphotom.schema.json"
    primary = "phot_table"


class MirMrsApcorrModel(Reference):
    """Aperture corrections of the MIRI MRS."""

    schema_name = "mirmrsapcorr.schema.json"


class MirMrsPhotomModel(Reference):
    """Flux calibration of the MIRI MRS."""

    schema_name = "mirmrsphotom.schema.json"


class MirMrsPtCorrModel(Reference):
    """Point-source corrections of the MIRI MRS."""

    schema_name = "mirmrsptcorr.schema.json"
    primary = "leakcor_table"


class MirWfssPhotomModel(Reference):
    """Flux calibration of MIRI WFSS."""

    schema_name = "mirwfssphotom.schema.json"
    primary = "phot_table"


class NirspecIfuAreaModel(Reference):
    """Pixel areas of the NIRSpec IFU."""

    schema_name = "nirspecifuarea.schema.json"
    primary = "area_table"


class NirspecMosAreaModel(Reference):
    """Pixel areas of the NIRSpec shutters."""

    schema_name = "nirspecmosarea.schema.json"
    primary = "area_table"


class NirspecSlitAreaModel(Reference):
    """Pixel areas of the NIRSpec slits."""

    schema_name = "nirspecslitarea.schema.json"
    primary = "area_table"


class NisImgApcorrModel(Reference):
    """Aperture corrections of NIRISS imaging."""

    schema_name = "nisimgapcorr.schema.json"
    primary = "apcorr_table"


class NisImgPhotomModel(Reference):
    """Flux calibration of NIRISS imaging."""

    schema_name = "nisimgphotom.schema.json"
    primary = "phot_table"


class NisSossPhotomModel(Reference):
    """Flux calibration of NIRISS SOSS."""

    schema_name = "nissossphotom.schema.json"
    primary = "phot_table"


class NisWfssApcorrModel(Reference):
    """Aperture corrections of NIRISS WFSS."""

    schema_name = "niswfssapcorr.schema.json"
    primary = "apcorr_table"


class NisWfssPhotomModel(Reference):
    """Flux calibration of NIRISS WFSS."""

    schema_name = "niswfssphotom.schema.json"
    primary = "phot_table"


class NrcImgApcorrModel(Reference):
    """Aperture corrections of NIRCam imaging."""

    schema_name = "nrcimgapcorr.schema.json"
    primary = "apcorr_table"


class NrcImgPhotomModel(Reference):
    """Flux calibration of NIRCam imaging."""

    schema_name = "nrcimgphotom.schema.json"
    primary = "phot_table"


class NrcWfssApcorrModel(Reference):
    """Aperture corrections of NIRCam WFSS."""

    schema_name = "nrcwfssapcorr.schema.json"
    primary = "apcorr_table"


class NrcWfssPhotomModel(Reference):
    """Flux calibration of NIRCam WFSS."""

    schema_name = "nrcwfssphotom.schema.json"
    primary = "phot_table"


class NrsFsApcorrModel(Reference):
    """Aperture corrections of NIRSpec fixed slits."""

    schema_name = "nrsfsapcorr.schema.json"
    primary = "apcorr_table"


class NrsFsPhotomModel(Reference):
    """Flux calibration of NIRSpec fixed slits."""

    schema_name = "nrsfsphotom.schema.json"
    primary = "phot_table"


class NrsIfuApcorrModel(Reference):
    """Aperture corrections of the NIRSpec IFU."""

    schema_name = "nrsifuapcorr.schema.json"


class NrsMosApcorrModel(Reference):
    """Aperture corrections of the NIRSpec shutters."""

    schema_name = "nrsmosapcorr.schema.json"
    primary = "apcorr_table"


class NrsMosPhotomModel(Reference):
    """Flux calibration of the NIRSpec shutters and IFU."""

    schema_name = "nrsmosphotom.schema.json"
    primary = "phot_table"


class PathlossModel(Reference):
    """Path loss of slits and shutters."""

    schema_name = "pathloss.schema.json"


class PixelAreaModel(Reference):
    """Area of every pixel (rows, columns) relative to the nominal one."""

    schema_name = "pixelarea.schema.json"


class SossBkgModel(Reference):
    """Background of NIRISS SOSS."""

    schema_name = "sossbkg.schema.json"


class ThroughputModel(Reference):
    """Throughput of a filter."""

    schema_name = "throughput.schema.json"
    primary = "filter_table"


class TsoPhotModel(Reference):
    """Apertures of time-series photometry."""

    schema_name = "tsophot.schema.json"


class WfssBkgModel(Reference):
    """Background of slitless exposures."""

    schema_name = "wfssbkg.schema.json"
