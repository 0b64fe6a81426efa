"""A look through the glass: what is wanted of it, who is asked, what is kept of it; the findings are made in drift."""
