// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The live heap: what the collector marks and the units of work walk and change.
//
// Each working thread has a shape of its own, because gc_ptr is no atomic. A walk only exchanges pointers, so
// everything stays reachable and the live heap keeps its size, while a concurrent collector sees pointers move
// behind and before it.
#pragma once
#include <cstddef>
#include <memory>

#include "bench/pause/command_line.h"
#include "bench/pause/objects.h"

namespace pause_bench {

class live_shape {
 public:
  virtual ~live_shape() = default;
  // Visits `steps` objects and exchanges pointers in each.
  virtual void walk(unsigned steps, xorshift& random) = 0;
};

// Of about `bytes`. The objects are held by roots in the result. The ring's shape is empty: its messages are the
// inserting thread's.
std::unique_ptr<live_shape> make_shape(shape_kind kind, std::size_t bytes, std::uint64_t seed);

}  // namespace pause_bench
