// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The objects that the benchmark allocates while it runs, and where they come from: from the collector, or, in the
// control run, from a stock that is used again and again.
//
// The control must do the same work but meet no collector, and its memory must stay bounded. Rejected: GC percent off
// and allocating on (2 GB/s of fresh pages: page faults that a run with a collector does not have, and no bound);
// malloc and free (measures another allocator). A stock is as large as what the heap may grow between two cycles,
// up to what no cache holds, is walked in address order as runs of free slots are, and an object taken from it is
// cleared, so the memory traffic is alike. What is missing in the control is what is to be seen: marking, sweeping,
// zeroing ahead, faults on returned pages, handshakes, assists.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <cairn/cairn.h>

namespace pause_bench {

struct message {
  std::uint64_t words[128];
};
static_assert(sizeof(message) == 1024);

struct small {
  cairn::gc_ptr<small> next;
  std::uint64_t words[7];
};
static_assert(sizeof(small) == 64);

// Below this a shape has no room for what it is made of.
constexpr std::size_t k_least_shape_bytes = std::size_t{4} << 20;

struct xorshift {
  std::uint64_t state;
  std::uint64_t next() {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
  }
  // Below `bound`, which is less than 2^32.
  std::size_t below(std::size_t bound) { return static_cast<std::size_t>(((next() >> 32) * bound) >> 32); }
};

// Both sources: take_small() and take_message() give a zeroed object.
class fresh_objects {
 public:
  small* take_small() { return cairn::make_gc<small>(); }
  message* take_message() { return cairn::make_gc<message>(); }
};

// Lives on its thread's stack.
class reused_objects {
 public:
  reused_objects(std::size_t smalls, std::size_t messages)
      : smalls_(cairn::make_gc_array<small>(smalls)),
        messages_(cairn::make_gc_array<message>(messages)),
        small_end_(smalls),
        message_end_(messages) {}

  small* take_small() {
    if (next_small_ == small_end_) next_small_ = 0;
    small* out = smalls_.data() + next_small_++;
    out->next = nullptr;
    std::memset(out->words, 0, sizeof out->words);
    return out;
  }
  message* take_message() {
    if (next_message_ == message_end_) next_message_ = 0;
    message* out = messages_.data() + next_message_++;
    std::memset(out->words, 0, sizeof out->words);
    return out;
  }

 private:
  cairn::gc_slice<small> smalls_;
  cairn::gc_slice<message> messages_;
  std::size_t small_end_, message_end_;
  std::size_t next_small_ = 0, next_message_ = 0;
};

}  // namespace pause_bench
