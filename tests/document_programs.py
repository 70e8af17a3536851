#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The Cairn authors
"""Takes the programs out of Markdown files, so that the build can compile them and the tests can run them.

  tests/document_programs.py OUTPUT FILE.md...     (at configure time)
      writes OUTPUT/<file>_<n>.cc for every block ```cpp with a main(), and OUTPUT/<file>_<n>.expected when the next
      block is ```text: what the program prints; prints the names <file>_<n>, separated by semicolons
  tests/document_programs.py --run EXPECTED PROGRAM [ARGUMENT...]
      runs PROGRAM and compares what it prints with the file EXPECTED
"""
import os
import re
import subprocess
import sys


def programs(text):
    """[(source, expected output or None)] in the order of the document."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.M | re.S)
    for i, (language, body) in enumerate(blocks):
        if language == "cpp" and re.search(r"^int main\(", body, flags=re.M):
            is_followed = i + 1 < len(blocks) and blocks[i + 1][0] == "text"
            yield body, blocks[i + 1][1] if is_followed else None


def write_if_changed(path, text):
    if not os.path.exists(path) or open(path, encoding="utf-8").read() != text:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)


def extract(output, documents):
    os.makedirs(output, exist_ok=True)
    names = []
    for document in documents:
        stem = os.path.splitext(os.path.basename(document))[0].lower()
        with open(document, encoding="utf-8") as file:
            text = file.read()
        for n, (source, expected) in enumerate(programs(text), 1):
            names.append(f"{stem}_{n}")
            base = os.path.join(output, names[-1])
            write_if_changed(base + ".cc", source)
            if expected is not None:
                write_if_changed(base + ".expected", expected)
            elif os.path.exists(base + ".expected"):
                os.remove(base + ".expected")
    print(";".join(names), end="")


def run(expected, *command):
    with open(expected, encoding="utf-8") as file:
        wanted = file.read()
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if result.returncode != 0 or result.stdout != wanted:
        return f"exit status {result.returncode}\n--- printed\n{result.stdout}--- expected\n{wanted}"
    return None


if __name__ == "__main__":
    sys.exit(run(*sys.argv[2:]) if sys.argv[1] == "--run" else extract(sys.argv[1], sys.argv[2:]))
