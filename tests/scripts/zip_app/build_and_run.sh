#!/bin/sh
# Packs a zip application and runs it, as a Makefile would.
set -e
python -m zipapp src -o tool.pyz -p "/usr/bin/env python"
exec ./tool.pyz "$@"
