#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The Cairn authors
"""Wraps // comments that are over the limit of tests/check_sources.py: ./dev format runs it before clang-format, which
leaves comments alone because it would tear tables and drawings apart.

  tests/wrap_comments.py FILE...      rewrites them in place

A paragraph with a line over the limit is filled anew; a line with three blanks inside is part of a table and makes its
paragraph stay as it is. Dividers (// ---- name ------) are cut.
"""
import re
import sys
import textwrap

from check_sources import MAX_COLUMNS

WIDTH = 112
LINE = re.compile(r"^(\s*)// ?( *)(.*)$")
LIST_ITEM = re.compile(r"(?:[-*] |\d+\. )")
DIVIDER = re.compile(r"//.*-{5}$")
IN_TABLE = re.compile(r"\S {3,}\S")


def paragraph_end(lines, start):
    """(end, blanks after // of its continuation lines) of the paragraph that starts at a comment line."""
    indent, lead, text = LINE.match(lines[start]).groups()
    item = LIST_ITEM.match(text)
    hang = lead + " " * (len(item.group(0)) if item else 0)
    end = start + 1
    while end < len(lines):
        match = LINE.match(lines[end])
        if not match or match.group(1) != indent or match.group(2) != hang or not match.group(3):
            break
        if LIST_ITEM.match(match.group(3)) or DIVIDER.search(lines[end]):
            break
        end += 1
    return end, hang


def wrap(source):
    lines = [line[:MAX_COLUMNS - 1] if len(line) > MAX_COLUMNS and DIVIDER.search(line) else line
             for line in source.split("\n")]
    out, i = [], 0
    while i < len(lines):
        match = LINE.match(lines[i])
        if not match or not match.group(3) or DIVIDER.search(lines[i]):
            out.append(lines[i])
            i += 1
            continue
        end, hang = paragraph_end(lines, i)
        texts = [LINE.match(line).group(3) for line in lines[i:end]]
        if max(map(len, lines[i:end])) <= MAX_COLUMNS or any(IN_TABLE.search(text) for text in texts):
            out += lines[i:end]
        else:
            indent, lead = match.group(1), match.group(2)
            out += textwrap.wrap(" ".join(texts), WIDTH, initial_indent=f"{indent}// {lead}",
                                 subsequent_indent=f"{indent}// {hang}", break_long_words=False,
                                 break_on_hyphens=False)
        i = end
    return "\n".join(out)


if __name__ == "__main__":
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as file:
            before = file.read()
        after = wrap(before)
        if after != before:
            with open(path, "w", encoding="utf-8") as file:
                file.write(after)
