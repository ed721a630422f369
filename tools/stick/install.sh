#!/bin/sh
# Installs the course from this folder, without a network, and checks it. What is there already stays as it is.
#     sh install.sh [FOLDER]      where to; without it: kdkit-course in your home folder
set -eu
here=$(cd "$(dirname "$0")" && pwd)
target=${1:-$HOME/kdkit-course}

fits="import ensurepip, sys; sys.exit('.'.join(sys.version.split('.')[:2]) not in '@PYTHONS@'.split())"
for python in ${PYTHON:-@COMMANDS@ python3 python none}; do
    ! "$python" -c "$fits" 2>/dev/null || break
done
if [ "$python" = none ]; then
    echo "This folder is for Python @PYTHONS@, and none was found. On Debian and Ubuntu, python3-venv is needed as well."
    exit 1
fi

mkdir -p "$target"
for part in notebooks notebooks-short data jupyter open.sh; do
    [ -e "$target/$part" ] || cp -R "$here/$part" "$target/$part"
done
cp "$target/open.sh" "$target/open.command"

echo "Installing into $target; this takes some minutes."
"$python" -m venv "$target/.venv"
cd "$target"
.venv/bin/python -m pip install --quiet --no-index --find-links "$here/wheels" -r "$here/wheels/requirements.txt"

KDKIT_DATA=${KDKIT_DATA:-$target/data} .venv/bin/python -m kdkit doctor --workshop || true

printf '\nOpen the course in JupyterLab now (y or n)? '
read -r answer || answer=n
case $answer in
    [yY]*) exec sh open.sh ;;
    *) echo "Later: sh $target/open.sh" ;;
esac
