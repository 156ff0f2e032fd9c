"""A Python process with two libraries of Go code, each with its own runtime, which cross as it is told on its input."""

import ctypes
import sys

libraries = [ctypes.CDLL(path) for path in sys.argv[1:]]
print("ready", flush=True)
for line in sys.stdin:
    for times, library in enumerate(libraries, 1):
        library.Cross(times * int(line))
    print("done", flush=True)
