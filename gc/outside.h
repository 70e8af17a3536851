// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Memory of the process that the collector does not look at: what malloc gave, stacks of threads that are not attached,
// mappings of the program's own. No reference to a collected object may be in there, but references to locals of
// goroutines may; gc/leak_trace.h wants to know of them.
//
// /proc/self/maps tells what there is, /proc/self/pagemap which pages of it were ever written, and /proc/self/mem reads
// them: for threads that are not attached run on, and may unmap what is just being read.
//
// Under AddressSanitizer and ThreadSanitizer nothing is read: their shadows are mappings of terabytes, and what they
// remember of stacks lies in other mappings yet.
#pragma once
#include <cstddef>
#include <cstdint>

#include "gc/mapped_array.h"

namespace cairn::gc {

struct address_range {
  std::uintptr_t from, to;
};

// f(arg, words, n) for all words of all private memory that can be written, a copy of some at a time, without
// the ranges in `left_out`, which get sorted, but with those in `also`. Async-signal-safe, so it may be called
// while the world is stopped. False, and perhaps not for all: the files cannot be read, or there is no memory
// for the copies.
bool for_each_outside_block(mapped_array<address_range>& left_out, const mapped_array<address_range>& also,
                            void (*f)(void* arg, const std::uintptr_t* words, std::size_t n),
                            void* arg) noexcept;

}  // namespace cairn::gc
