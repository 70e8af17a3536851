// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Names of functions, from the symbol tables of the program and its libraries: dladdr knows only what is exported,
// which of a program is next to nothing. Needs neither malloc nor, with a C library from 2.35 on, a lock.
//
// One thread at a time.
#pragma once
#include <cstdint>
#include <string_view>

namespace cairn::sched {

struct symbol {
  const char* module = nullptr;    // path of the file; null: the address lies in none
  std::uintptr_t in_module = 0;    // what addr2line -e wants
  std::string_view name;           // mangled; empty: none is known
  std::uintptr_t in_function = 0;  // how far behind its beginning
};

symbol find_symbol(const void* address) noexcept;

}  // namespace cairn::sched
