#!/bin/sh
# Installs the course from this folder, without a network, and checks it. Notebooks that you have stay as they are.
#     sh install.sh [FOLDER]      where to; without it: kdkit-course in your home folder
set -eu
unset CDPATH
here=$(cd "$(dirname "$0")" && pwd)
target=${1:-$HOME/kdkit-course}

fits="import ensurepip, sys; v = sys.version_info
sys.exit(v < (3, 11, 4) or f'{v[0]}.{v[1]}' not in '@PYTHONS@'.split())"
for python in ${PYTHON:-@COMMANDS@ python3 python} none; do
    ! "$python" -c "$fits" 2>/dev/null || break
done
if [ "$python" = none ]; then
    echo "This folder is for Python @PYTHONS@@LEAST@, and none was found."
    echo "On Debian and Ubuntu, python3-venv is needed as well."
    exit 1
fi

mkdir -p "$target"
target=$(cd "$target" && pwd)
for part in notebooks notebooks-short data jupyter; do
    if [ ! -e "$target/$part" ]; then
        rm -rf "$target/$part.part"
        cp -R "$here/$part" "$target/$part.part"
        mv "$target/$part.part" "$target/$part"
    fi
done
cp "$here/open.sh" "$target/open.sh"
cp "$here/open.sh" "$target/open.command"

echo "Installing into $target; this takes some minutes."
"$python" -m venv "$target/.venv"
cd "$target"
install() { .venv/bin/python -m pip install --quiet --no-index --find-links "$here/wheels" "$@"; }
install -r "$here/wheels/requirements.txt"
install --no-deps --force-reinstall kdkit  # pip would keep that of an earlier folder, if it has the same version

KDKIT_DATA=${KDKIT_DATA:-$target/data} .venv/bin/python -m kdkit doctor --workshop || true

printf '\nOpen the course in JupyterLab now (y or n)? '
read -r answer || answer=n
case $answer in
    [yY]*) exec sh open.sh ;;
    *) echo "Later: sh \"$target/open.sh\"" ;;
esac
