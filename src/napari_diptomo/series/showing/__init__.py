"""Series, maps, volumes and recipes as a notebook shows them: summaries, pictures with a scale bar, figures."""
