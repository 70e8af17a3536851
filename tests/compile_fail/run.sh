#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The Cairn authors
#
# tests/compile_fail/run.sh COMPILER INCLUDE_DIR: every case by hand; ctest runs them one by one.
set -u
here=$(dirname "$0")
failed=0
for file in "$here"/*.cc; do
  python3 "$here/../compile_fail.py" "$file" "$1" -std=c++20 -fsyntax-only -I "$2" || failed=1
done
exit $failed
