#!/bin/sh
# For a Mac: double-click it. If macOS refuses, open Terminal and type: sh, a space, and drop install.sh there.
exec sh "$(dirname "$0")/install.sh"
