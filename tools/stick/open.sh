#!/bin/sh
# Opens the course, where it was installed, in JupyterLab.
cd "$(dirname "$0")" || exit 1
export KDKIT_DATA="${KDKIT_DATA:-$PWD/data}" JUPYTER_CONFIG_PATH="$PWD/jupyter"
exec .venv/bin/python -m jupyterlab notebooks/00_start_here.ipynb
