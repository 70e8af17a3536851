// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// What a thread keeps of the heap: one open run per span class, a page cache, slots freed by hand, and its counts.
// See heap/mheap.h for overview.
//
// Invariants:
//   a run's slots are zero, their allocation bits are set; while a cycle marks, their mark bits are set too
//   [cursor, end) of a run is in use for the collector, whether or not anything was made there: the owner may be
//     stopped between loading the cursor and storing it back, with an object in its hands that no cursor shows yet
//   run.span is in no list while the run is here, and its sweepgen is "in a cache"
//
// Owner: the thread. A thread that has stopped it may read runs and call mark_open and sweep_cached; it may call flush
// only when the thread stands in the safe state, where it is not in the middle of a fast path.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "cairn/detail/entry.h"
#include "heap/mspan.h"
#include "heap/page_cache.h"
#include "heap/stopwatch.h"

namespace cairn::heap {

// A run's zeroing is one quantum: 16 KiB are about 0.3 us in cache, 2 us out of it. Smaller ones cost more refills of
// the classes over 1 KiB, larger ones nothing gains. An object beyond it is a run of its own.
inline constexpr std::size_t k_most_run_bytes = 16 << 10;
// The same of fresh memory, of which each system page costs a fault, 1.4 us: four in one refill were most of what made
// the slowest inserts of a ring of messages slow, while its heap grew.
inline constexpr std::size_t k_most_fresh_bytes = 4 << 10;

struct mcache : detail::thread_cache {
  // Odd while the owner changes runs or `taken`; a reader of statistics tries again (seqlock).
  std::atomic<std::uint32_t> version{0};
  // Slots taken into runs per span class, less those given back. Owner writes; read under `version`.
  std::atomic<std::uint64_t> taken[detail::k_span_class_count] = {};

  page_cache pages;

  // How long its runs may be: less than k_most_run_bytes while it owes work to the collector (gc/assist.cc). Owner: the
  // thread, or its stopper.
  std::size_t most_run_bytes = k_most_run_bytes;

  // Bytes taken since the thread last added to the common count of live bytes. Owner: the thread, or its stopper.
  std::size_t uncounted = 0;
  // Bytes that were born marked in this cycle. Likewise.
  std::size_t black_bytes = 0;

  // What the thread had of its processor some 100 us ago or less. Owner: the thread, outside signal handlers.
  cpu_use used;

  // Slots that unique_gc freed: zeroed, still marked allocated, one-slot runs in waiting.
  static constexpr unsigned k_max_early = 32;
  struct early_slot {
    std::uintptr_t address;
    unsigned span_class;
  };
  early_slot early[k_max_early];
  unsigned n_early = 0;
};

struct refill_result {
  void* slot = nullptr;   // the first slot, already taken from the run; null: the system gave no more memory
  std::size_t bytes = 0;  // bytes of all slots of the run
  interval sweep{};       // see mcentral::take
};
refill_result refill(mcache& c, unsigned span_class, std::uint64_t mask) noexcept;
// A slot for an array or an object with a mask known at run time; like the inlined fast path.
void* take_slot(mcache& c, unsigned span_class, std::uint64_t mask) noexcept;
// Remembers that the span of `slot` holds an array.
void note_array(const void* slot) noexcept;

// Leaves the freed slot that has waited longest to the next cycle.
void drop_oldest_early(mcache& c) noexcept;

// Gives every run, freed slot and cached page back. `marking`: a cycle marks, so that slots do not become free, nor
// spans: what was open stays allocated, an object that nothing refers to.
void flush(mcache& c, bool marking) noexcept;
// Sets the mark bits of what is left of the runs, the open tiny block and the freed slots. Returns their bytes.
std::size_t mark_open(mcache& c) noexcept;
// Sweeps the spans that were cached since before the last mark.
void sweep_cached(mcache& c, std::uint32_t h) noexcept;

// One large object: a span of its own. Null: no memory. Contents are zeroed by the caller if `needs_zero`.
mspan* allocate_large(mcache& c, std::size_t bytes, bool noscan) noexcept;

}  // namespace cairn::heap
