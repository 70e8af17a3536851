// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// What cairn-gdb.py reads, and where: so that it works on programs that were compiled without -g, and a field
// that moves needs no change there. A field that comes or goes changes the list in the script, and the version
// in both.
#pragma once
#include <cstdint>

extern "C" {
// In the order of LAYOUT in cairn-gdb.py.
extern const std::uintptr_t cairn_gdb_layout[23];
}
