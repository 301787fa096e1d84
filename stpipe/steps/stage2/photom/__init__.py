"""From count rates to fluxes."""
