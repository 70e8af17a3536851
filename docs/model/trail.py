#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The Cairn authors
"""Shortens `spin -t -p -g -l` on standard input: one line per step, with what it changed.

  trail.py cycle.pml    the steps are named by the line of the model at which they begin
"""
import re
import sys

STEP = re.compile(r"\s*(\d+):\tproc\s+(\d+) \((\w+):\d+\) \S+:(\d+) \(state \d+\)")
VALUE = re.compile(r"\t\t(?:\w+\(\d+\):)?([\w\[\]]+) = (\d+)")
NAMES = {"0": "collector", "1": "memory/sysmon", "2": "?"}
LOCAL = {"c", "v", "k", "r", "me", "p", "seen", "marking", "marked", "was_black", "pend"}


def main():
    steps, values = [], {}
    for line in sys.stdin:
        match = STEP.match(line)
        if match:
            number, proc, name, at = match.groups()
            if not steps or steps[-1][0] != (number, proc):
                steps.append([(number, proc), name, int(at), {}])
            continue
        match = VALUE.match(line)
        if match and steps:
            if match.group(1) in LOCAL:
                continue
            name, value = match.groups()
            if values.get(name, "0") != value:
                steps[-1][3][name] = (values.get(name, "0"), value)
                values[name] = value
    return steps


if __name__ == "__main__":
    for (number, proc), name, at, changed in main():
        if changed:
            print(f"{number:>6} {name}{proc} :{at:<4} " + ", ".join(f"{n}: {a}->{b}" for n, (a, b) in changed.items()))
