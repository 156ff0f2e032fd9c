"""A Python process that loads Go code and calls it, as it is told on its input."""

import ctypes
import sys

library = None
print("ready", flush=True)
for line in sys.stdin:
    what, argument = line.split()
    if what == "load":
        library = ctypes.CDLL(argument)
        library.Cross.restype = ctypes.c_long
        print("loaded", flush=True)
    elif what == "cross":
        print(library.Cross(int(argument)), flush=True)
