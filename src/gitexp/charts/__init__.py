"""Curves as charts: for a terminal, as SVG, as a page of HTML, as images. Pure drawing, from values to text."""
