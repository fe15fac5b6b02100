"""Git's own files. The only package that imports dulwich."""
