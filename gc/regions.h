// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Grey candidates by region of the address space, for heaps that the TLB does not cover.
//
// In which order a mark visits objects is free. Of a graph of 1 GiB taken from a stack each object lies in a page
// whose translation the processor does not have, and so do its bits: what is waited for is the walks of page tables,
// of which there are only so many at a time. So a marker that has more candidates than it can hold sorts them: those
// of each region of 2 MiB into buffers of their own, a region's buffers one after the other, the fullest region first.
// The 512 pages of a region fit into the second level of the TLB, its bits into the first level of the cache.
//
// An entry of such a buffer is an offset into its region in units of 8 bytes, 32 bits: half the memory of an address,
// for each has to go out to memory and come back. Entries with tags, and candidates beyond the last region, are not
// sorted: they stay with the marker (gc/mark.h).
//
// A buffer lies in one of these places:
//   a sorter   that fills it: its marker's alone, which has work as long as entries() != 0
//   the lists  of the pool, one for each region, when it is full, or when its marker hands over what it has
//   a marker   that has taken it and puts its candidates onto its stack, in one step
// Each list is a stack without a lock. Of each list, and of all, a count is kept that is never too low: it is raised
// before a buffer is put and lowered after one was taken. So who finds the count of all 0 finds what has_full()
// promises (gc/work.h): every put that it knows of has been taken.
//
// Which region somebody is at is a hint, so that two markers do not take the same one while there are others.
//
// Rejected: regions of 1, 4, 8 and 16 MiB (33.5, 31.0, 34.1 and 37.8 ns an object of 8.4 million with four pointers
// each, instead of 29.7; unsorted 60.8); one region after the other in address order (38); addresses as entries (38).
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "heap/tagged_stack.h"

namespace cairn::gc {

struct work_buf;
class work_pool;

inline constexpr unsigned k_regions = 2048;
inline constexpr std::uint32_t k_no_region = ~std::uint32_t{0};

// When markers sort.
struct sorting_limits {
  std::size_t live_bytes = 64 << 20;  // of smaller heaps the TLB covers most
  std::ptrdiff_t spilled = 256;  // buffers that a marker has given to the pool and not taken back: 64 K entries
  std::size_t least_entries = 8'192;  // left with a marker that sorts, when no list has any: below, it stops
  static constexpr sorting_limits always() noexcept { return {0, PTRDIFF_MIN, 1}; }
};

class region_lists {
 public:
  // For the next mark, of a heap of so many bytes, `live` of which are in use: regions of a size with which there are
  // enough of them. No buffer is in any list, and nobody marks.
  void fit(std::size_t committed, std::size_t live, const sorting_limits& limits = {}) noexcept;
  // The heap is large enough for it.
  bool may_sort() const noexcept { return sorts_; }
  // Whether a marker sorts from now on that has given away so many buffers more than it took.
  bool is_crowded(std::ptrdiff_t spilled) const noexcept { return sorts_ && spilled >= limits_.spilled; }
  // The same for one that comes to where others sort.
  bool others_sort() const noexcept { return sorts_ && buffers() >= k_several; }
  std::size_t least_entries() const noexcept { return limits_.least_entries; }
  unsigned shift() const noexcept { return shift_; }
  // The heap's address at which the region begins.
  std::uintptr_t start_of(std::uint32_t region) const noexcept;

  bool empty() const noexcept { return buffers() == 0; }
  // Never too few.
  std::size_t buffers() const noexcept { return buffers_.load(std::memory_order_relaxed); }
  void put(work_buf* b) noexcept;
  // Null: there is none.
  work_buf* try_take(std::uint32_t region) noexcept;
  work_buf* try_take_any() noexcept;

  // The fullest region, if possible one where nobody is, which the caller is at until leave(). k_no_region: all are
  // empty.
  std::uint32_t enter() noexcept;
  void leave(std::uint32_t region) noexcept;

 private:
  static constexpr std::uint32_t k_somebody = 1u << 31;
  static constexpr std::size_t k_several = 64;
  std::uint32_t fullest(bool with_others) const noexcept;

  // Written by fit(), which happens before all marking of the cycle.
  unsigned shift_ = 21;
  bool sorts_ = false;
  sorting_limits limits_;
  std::atomic<std::size_t> buffers_{0};
  std::atomic<std::uint32_t> counts_[k_regions] = {};  // and k_somebody. Any thread.
  heap::tagged_stack lists_[k_regions];
};

// A marker's buffers that are being filled, one for each region. Owner: the marker.
class sorter {
 public:
  explicit sorter(work_pool& pool) noexcept : pool_(pool) {}
  sorter(const sorter&) = delete;
  sorter& operator=(const sorter&) = delete;

  // Has the table made, of memory that is there, unless it is: so that sort() need not. False: there is no memory.
  bool make_tails() noexcept;
  // Sorts the entries [from, to). Those that cannot be, or for which there is no memory, are moved to the front.
  // Returns their end.
  std::uintptr_t* sort(std::uintptr_t* from, std::uintptr_t* to) noexcept;
  std::size_t entries() const noexcept { return entries_; }
  // What there is of the region; null: nothing.
  work_buf* take(std::uint32_t region) noexcept;
  // What there is of some region, one after the other. There are entries.
  work_buf* take_next() noexcept;
  // All there is goes to the pool. Needs no memory.
  void hand_over() noexcept;

 private:
  struct tail {
    std::uint32_t* next;
    std::uint32_t* end;  // of its buffer; null: there is none
  };
  bool make_room(tail& t, std::uint32_t region) noexcept;
  work_buf* close(tail& t, std::uint32_t region) noexcept;

  work_pool& pool_;
  std::size_t entries_ = 0;
  std::uint32_t at_ = 0;  // of take_next
  // k_regions of them, 32 KiB, for good: made when a guest's marker may have to sort (gc/guest.h), else with the first
  // entry to sort, for most markers never do. Null: it has none.
  tail* tails_ = nullptr;
};

}  // namespace cairn::gc
