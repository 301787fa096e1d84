"""The report of a project: one page of pictures, costs and histories."""
