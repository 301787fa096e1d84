"""Report: one page about a run, with a quick look at every product."""
