"""Wheels of nothing, made in a moment, for what downloads and installs them."""

import zipfile


def wheel(folder, name, version="1.0", tag="py3-none-any", needs=(), code="", extra=""):
    """Write NAME-VERSION-TAG.whl into ``folder``: a module that does ``code`` as ``python -m NAME``."""
    info = f"{name}-{version}.dist-info"
    metadata = [
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}",
        *(f"Requires-Dist: {need}" for need in needs),
    ]
    metadata += [f"Provides-Extra: {extra}"] if extra else []
    path = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(f"{name}/__init__.py", "")
        file.writestr(f"{name}/__main__.py", code)
        file.writestr(f"{info}/METADATA", "\n".join(metadata) + "\n")
        file.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n")
        file.writestr(f"{info}/RECORD", "")
    return path
