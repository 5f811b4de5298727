"""The Space: score, review, agree, explore and export in a browser. Research software, not for clinical use."""
