"""Where kernels can be compiled."""

from __future__ import annotations

import os
import shutil

import pytest

has_compiler = any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "g++", "clang++"))
needs_compiler = pytest.mark.skipif(not has_compiler, reason="no C++ compiler is installed")
