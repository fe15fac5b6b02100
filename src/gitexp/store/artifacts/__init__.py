"""Where large artifacts lie for everybody: an object store, a Git LFS server, or the git remote itself."""
