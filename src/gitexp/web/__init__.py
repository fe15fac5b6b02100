"""The web pages: a door to one repository, for looking at, comparing and understanding runs in a browser."""
