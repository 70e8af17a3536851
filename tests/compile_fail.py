#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The Cairn authors
"""Checks that one program does not compile, and that the compiler says what it should.

  tests/compile_fail.py FILE COMPILER FLAG...

FILE carries lines `// expect: TEXT`: each TEXT must stand in the compiler's messages. What it does with the macro
GOOD defined must compile: so it fails for its one reason, not for a missing header or a typing error.
"""
import re
import subprocess
import sys


def compile_it(command):
    return subprocess.run(command, capture_output=True, text=True, check=False)


def main():
    path, command = sys.argv[1], sys.argv[2:]
    with open(path, encoding="utf-8") as file:
        text = file.read()
    expected = re.findall(r"^// expect: (.*\S)\s*$", text, flags=re.M)
    if not expected or "GOOD" not in text:
        return f"{path} needs at least one line `// expect: ...`, and a part that compiles with GOOD defined"
    good = compile_it(command + ["-DGOOD", path])
    if good.returncode != 0:
        return f"{path} does not compile with -DGOOD:\n{good.stderr}"
    bad = compile_it(command + [path])
    if bad.returncode == 0:
        return f"{path} compiles"
    missing = [e for e in expected if " ".join(e.split()) not in " ".join(bad.stderr.split())]
    return f"{path}: the messages do not contain {missing}:\n{bad.stderr}" if missing else None


if __name__ == "__main__":
    sys.exit(main())
