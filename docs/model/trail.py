#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The Cairn authors
"""Condenses a replay by Spin: one line for each step that changes the state.

  spin FLAGS -t -p -g -l MODEL | trail.py MODEL

Columns: Spin's step, who takes it, the part of the model (an inline's name, or the comment above the line), changes.
"""
import os
import re
import sys

STEP = re.compile(r"\s*(\d+):\tproc\s+(\d+) \((\w+):\d+\) \S+:(\d+) \(state \d+\)")
VALUE = re.compile(r"\t\t(?:\w+\(\d+\):)?([\w\[\]]+) = (\d+)")
LOCAL = {"c", "v", "k", "r", "me", "p", "seen", "marking", "marked", "was_black", "pend", "o"}
LOCAL |= {"b", "sum", "number"}  # of rw_mutex.pml
SETS = {"mark", "alloc", "work", "unswept", "buffer[0]", "buffer[1]"}
# Of lock.pml, mutex.pml and rw_mutex.pml: what only assertions look at, and store buffers. Their lengths are shown, and
# entries when they reach memory.
UNSHOWN = re.compile(r"calls|releases|ended|busy|still|last|tries|what\[|value\[")
HELPERS = {"store", "drain", "record", "reach", "occupy", "find_free", "pick_cell", "pick_value"}


def labels(model):
    """For each line the name of the inline it is in, else the last comment before it."""
    result, comment, inline, before = [""], "", None, None
    for line in model:
        start = re.match(r"inline (\w+)", line)
        inline = start.group(1) if start else inline
        remark = re.match(r"\s+// (.*)", line)
        if remark and not before:  # a comment's first line
            comment = re.split(r"[.;,]|(?<!:):(?!:)", re.sub(r"^\d\. ", "", remark.group(1)))[0][:40]
        before = remark
        named = "(slots kept sorted)" if inline == "sort" else inline
        result.append("" if named in HELPERS else named or comment)
        inline = None if line.startswith("}") else inline
    return result


MUTEX_BITS = ((1, "held"), (2, "line"), (4, "for the first"), (8, "called"), (16, "biased"))


def shown_of_mutex(name, value):
    if name == "word":
        return " ".join(text for bit, text in MUTEX_BITS if int(value) & bit) or "free"
    if name in ("bias", "hall", "heir"):
        return f"thread {int(value) - 1}" if int(value) else "none"
    return value


RW_MUTEX_BITS = ((1, "writer"), (2, "line"), (4, "called"), (8, "unknown"))


def shown_of_rw_mutex(name, value):
    number = int(value)
    if name == "word":
        return " ".join(text for bit, text in RW_MUTEX_BITS if number & bit) or "no bits"
    if name == "bias":
        return f"{'fenced' if number & 1 else 'plain'} {number // 2}" if number else "none"
    if name.startswith("table"):
        return f"{number & 3} of {number // 4}" if number else "0"
    if name in ("hall", "heir"):
        return f"thread {number - 1}" if number else "none"
    return value


def shown(name, value):
    if name == "word":
        flags = [text for bit, text in ((1, "held"), (2, "biased")) if int(value) & bit]
        return " ".join([str(int(value) >> 2)] + flags)
    if name == "owner":
        return f"thread {int(value) // 2 - 1}" + " ending" * (int(value) & 1) if int(value) > 1 else "none"
    if name not in SETS:
        return value
    return "{" + ",".join(str(o) for o in range(1, 8) if int(value) >> o & 1) + "}"


def read(lines, label):
    """Steps: [number, process, label, changes]."""
    steps, values = [], {}
    for line in lines:
        match = STEP.match(line)
        if match:
            number, pid, process, at = match.groups()
            if not steps or steps[-1][0] != number:
                steps.append([number, (process, int(pid)), "", {}])
            steps[-1][2] = steps[-1][2] or label[int(at)]
        match = VALUE.match(line)
        if not match or not steps or match.group(1) in LOCAL or UNSHOWN.match(match.group(1)):
            continue
        name, value = match.groups()
        before = values.get(name, "0")
        if before != value:
            first = steps[-1][3].get(name, (before,))[0]
            steps[-1][3][name] = (first, value)
            values[name] = value
    return steps


def main():
    with open(sys.argv[1], encoding="utf-8") as model:
        label = labels(model.read().splitlines())
    steps = read(sys.stdin, label)
    show = {"mutex.pml": shown_of_mutex, "rw_mutex.pml": shown_of_rw_mutex}.get(os.path.basename(sys.argv[1]), shown)
    collector = next((pid for _, (process, pid), _, _ in steps if process == "collector"), 0)
    for number, (process, pid), what, changes in steps:
        who = f"fiber {pid - collector - 1}" if process == "fiber" else process
        who = f"thread {pid - 2}" if process == "thread" else who
        text = ", ".join(f"{n}: {show(n, a)} -> {show(n, b)}" for n, (a, b) in changes.items() if a != b)
        if text:
            print(f"{number:>6}  {who:<10} {what:<40}  {text}")


if __name__ == "__main__":
    main()
