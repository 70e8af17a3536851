// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// CAIRN_PRIVATE: for variables of the library that hold heap addresses of their own (the heap's base, cursors). They
// lie in one section, which the scan of static data leaves out: they would keep objects alive.
#pragma once

#define CAIRN_PRIVATE [[gnu::section("cairn_state")]]

extern "C" char __start_cairn_state[] __attribute__((visibility("hidden")));
extern "C" char __stop_cairn_state[] __attribute__((visibility("hidden")));
