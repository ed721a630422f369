"""Server settings for ``make lab``: send every kernel message at once.

The server leaves Nagle's algorithm on for the websocket between browser and kernel, so about half of the
small messages behind a moving slider wait another 40 ms. Your own Jupyter settings still apply: this file's
folder is only one more on JUPYTER_CONFIG_PATH.
"""

import contextlib
import functools


def without_delay(open_websocket):
    """Wrap a websocket handler's ``open`` so that it turns TCP_NODELAY on first."""

    @functools.wraps(open_websocket)
    def wrapper(handler, *args, **kwargs):
        # A comfort, never a reason not to start: whatever another server version does here, go on without it.
        with contextlib.suppress(Exception):
            handler.set_nodelay(True)
        return open_websocket(handler, *args, **kwargs)

    return wrapper


with contextlib.suppress(ImportError, AttributeError):
    from jupyter_server.services.kernels.websocket import KernelWebsocketHandler

    KernelWebsocketHandler.open = without_delay(KernelWebsocketHandler.open)
