// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// A span: a run of pages that holds objects of one span class, or one large object (size class 0).
//
//   slot i is [base + i * elem_bytes, base + (i + 1) * elem_bytes), i < n_slots
//   alloc bit i set     slot i is allocated, or part of an open run, or was freed early and waits in a cache
//   slot i marked       reached in this cycle, or born marked; only slots whose alloc bit is set (heap/space.h)
//   n_alloc == popcount(alloc bits), and no bit at or above n_slots is set
//   every slot below free_index is allocated
//
// Sweeping a span makes its mark bits its allocation bits and clears the marks: nothing is written per object.
//
// Who may change what. A span is at any time in exactly one of these hands:
//   a cache     cut into runs by the thread whose mcache holds it
//   a central   in one of the lists of its mcentral; who pops it, or takes it out, has it
//   a sweeper   who popped it from an unswept list, and has set sweepgen from h - 2 to h - 1
// Whoever has it owns free_index, n_alloc and the allocation bits.
//
// sweepgen, with h = mheap's sweep generation (even, up by two when marking has ended):
//   h - 2  needs sweeping        h      swept, and in no cache
//   h - 1  being swept           h + 1  in a cache since before the last mark: needs sweeping by its owner
//                                h + 3  in a cache, swept
// It is published with release by the one who changes it and read with acquire by the next (mcentral, sweepers).
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "cairn/detail/annotate.h"
#include "heap/space.h"
#include "heap/tagged_stack.h"

namespace cairn::heap {

class large_list;
struct special_table;  // gc/specials.h: weak references, finalizers, cleanups of a span's objects

// The link is that of the mcentral's stack which the span lies in (heap/mcentral.h).
class mspan : public stack_link {
 public:
  // Immutable while the span is in use.
  std::uintptr_t base = 0;
  std::size_t pages = 0;
  std::size_t elem_bytes = 0;
  std::uint32_t first = 0;  // its first page
  std::uint16_t n_slots = 0;
  std::uint8_t span_class = 0;

  // Owner: see above.
  bool needs_zero = false;  // free slots may hold old contents
  std::uint16_t free_index = 0;
  std::uint16_t n_alloc = 0;

  // 1: a slot has held an array since the span was empty, so an address one past a slot's end counts, from stacks.
  // Set by the owner before the array is handed out; read by markers.
  std::atomic<std::uint8_t> has_array{0};
  // 1: some object's destructor is armed, or was. Set with arm_destructor; cleared when the span is swept empty
  // of them.
  std::atomic<std::uint8_t> has_armed{0};
  std::atomic<std::uint32_t> sweepgen{0};
  // A span some way below this one in the list that it lies in, or one that did. Only to be prefetched: see span_list.
  std::atomic<mspan*> below{nullptr};
  // Guarded by gc/specials.cc's lock.
  special_table* specials = nullptr;

  // Large spans: links of an mcentral's list, guarded by its lock. `in` leaves a list's address only under that list's
  // lock.
  mspan* following = nullptr;
  mspan* preceding = nullptr;
  std::atomic<large_list*> in{nullptr};

  void set_first(std::uint32_t page) noexcept { __atomic_store_n(&first, page, __ATOMIC_RELAXED); }
  // Asks for the first of its bits, by who does not have the span, which may be another one by now, or just be made: a
  // race, on which nothing but this hint depends. ThreadSanitizer is spared it.
  void prefetch_bits() const noexcept {
#if !CAIRN_TSAN
    __builtin_prefetch(&g_space.group_of(__atomic_load_n(&first, __ATOMIC_RELAXED), 0), 1);
#endif
  }
  // Asks for what sweeping reads of the record.
  void prefetch() const noexcept {
    __builtin_prefetch(this, 1);
    __builtin_prefetch(&below, 1);
  }

  bool is_large() const noexcept { return span_class < 2; }
  bool is_noscan() const noexcept { return detail::is_noscan_class(span_class); }
  std::uintptr_t slot_address(unsigned index) const noexcept { return base + index * elem_bytes; }
  unsigned index_of(std::uintptr_t a) const noexcept {
    return is_large() ? 0
                      : static_cast<unsigned>((a - base) * detail::k_class_reciprocal[span_class / 2] >> 32);
  }
  unsigned n_groups() const noexcept { return (n_slots + 63u) / 64u; }

  // The bits of slots 64 w to 64 w + 63.
  bit_group& group(unsigned w) const noexcept { return g_space.group_of(first, 64 * w); }
  std::uint64_t mask() const noexcept { return g_space.masks[first].load(std::memory_order_relaxed); }

  bool is_allocated(unsigned index) const noexcept {
    return (group(index / 64).alloc.load(std::memory_order_relaxed) & bit_of(index)) != 0;
  }
  bool is_marked(unsigned index) const noexcept { return (group(index / 64).marked() & bit_of(index)) != 0; }

  // The next run of free slots at or after free_index, of at most `most_bytes` (one slot at least): marks them
  // allocated and moves free_index behind them. Returns their number, 0 when no slot is free. Owner only.
  unsigned take_run(std::size_t most_bytes, unsigned& index) noexcept;
  // Gives back slots [from, to) that take_run took: they are free again. Owner only, not while marking.
  void return_slots(unsigned from, unsigned to) noexcept;
  // Sets the mark bits of slots [from, to): black allocation, and the rest of open runs at the end of a cycle.
  void mark_slots(unsigned from, unsigned to) noexcept;

  // Allocation bits := what is marked; marks := 0. Returns how many slots that freed. The caller has claimed the span.
  unsigned sweep() noexcept;
};
static_assert(sizeof(mspan) <= 128, "two cache lines");

}  // namespace cairn::heap
