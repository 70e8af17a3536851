// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The marker: one worker's stack of grey candidates, and scanning.
//
// From a candidate's address follow, by loads from dense tables only, its span's class and first page, the object's
// index, its allocation bit and its mark bit (heap/space.h). A candidate whose slot is not allocated is dropped. A
// newly marked object is scanned: the words that its span's mask names, or all of them if it is over 512 bytes; each
// that lies in the heap becomes a candidate.
//
// Nearly all of the time goes into cache misses: one for an object's bits, one for the object. So candidates are taken
// from the stack in batches of 32, and go through three steps:
//   find   work out where each one's object and bits lie; prefetch the bits
//   mark   those that are unmarked; prefetch the object, if it has pointers
//   scan   not these but the ones that the batch before has marked: their lines have had a batch's time to come
// Each step is a loop over the batch, with vector instructions if there are any (gc/batch.h). Which candidates
// are marked already is looked at in advance only after a batch of which most were: else that is one more look
// in vain. What is marked already, as most candidates of a graph are, costs no look at the object. A lone
// candidate is a list's: it is followed without all this (chase); if each object has to be waited for, other
// lists, or other parts of it, meanwhile, by who waits and by workers that have nothing to do (gc/scout.h). Pieces of
// lists end one after the other, so the next ones are taken from the pool before a batch would lack candidates.
//
// The stack is last in, first out for the sake of locality; what the barrier has shaded meanwhile comes on top
// of it. When other workers want work the older half of it goes to the pool: the oldest entries lead to the
// largest parts of the graph. Who has many gives the pool its oldest, a buffer with each batch. To give half
// of them away when the stack is full takes 5 to 8 us, which for a thread of the program is as long as a slice.
//
// A graph that is much larger than what the TLB covers is taken by region (gc/regions.h): once so much has gone to the
// pool that the order of a stack means nothing any more, the candidates that a batch has brought do not stay on the
// stack but are sorted, and the stack is filled from the buffers of one region after the other. All else is as
// before: what is not sorted (entries with tags, what the barrier has shaded, what there is no memory for) lies on the
// stack, and is taken first. A marker has work as long as anything is on its stack, in its batches or in its sorter; it
// looks for other work, and is counted as idle, only when all three are empty.
//
// What is over 512 bytes goes back to the stack: whole, or in oblets of 128 KiB, which workers share. It is scanned in
// pieces of 16 KiB, the rest of it lying beneath what the piece has brought: so a quantum stays short, and the stack
// does not overflow into the pool.
//
// Two kinds of mark (heap/space.h): the marker of the thread that runs the cycle, one at a time, writes plainly to a
// word of its own; all others set bits atomically in another.
// What is read of an object may be written meanwhile, a word at a time; what the old or the new word leads to is
// marked, and the barrier tells of the other (gc/barrier.cc).
//
// Rejected: marking before pushing (the mark bit's line is then needed at once, with no time for a prefetch);
// one ring that prefetches bits and object together (of a graph with four edges an object, three of four
// objects were fetched from memory in vain); rings instead of batches (their counters, kept in memory, were the
// longest chain of dependences: twice the time for arrays of pointers); a batch's time more between find and
// mark, and objects prefetched one by one in between the candidates of the next batch (not faster and slower:
// what is waited for is not latency but the walks of page tables, as many as the processor does at a time).
#pragma once
#include <cstddef>
#include <cstdint>

#include "gc/batch.h"
#include "gc/fields.h"
#include "gc/regions.h"
#include "gc/scout.h"
#include "gc/work.h"
#include "heap/space.h"

namespace cairn::gc {

inline constexpr std::size_t k_oblet_bytes = 128 << 10;
inline constexpr std::size_t k_piece_bytes = 16 << 10;

// Called by a marker every 64 objects: keeps the slices of a worker that runs beside the program (gc/slice.h).
class mark_slice;

class marker {
 public:
  // `runs_cycle`: the one that has the plain mark words to itself.
  explicit marker(work_pool& pool, bool runs_cycle = false) noexcept
      : pool_(pool), runs_cycle_(runs_cycle), scout_(pool), sorter_(pool) {}
  marker(const marker&) = delete;
  marker& operator=(const marker&) = delete;

  // A word that may be a pointer.
  void candidate(std::uintptr_t word) noexcept {
    if (heap::g_space.contains(word)) push(word & ~std::uintptr_t{7});
  }
  // Words that may be pointers, as fields are: [from, to), both multiples of 8.
  void scan_words(const void* from, const void* to) noexcept;
  // The same for a stack, where one past the end of an array counts too.
  void scan_stack(const void* from, const void* to) noexcept;
  // What an entry with a tag stands for.
  void visit_tagged(std::uintptr_t entry) noexcept;
  // Scans the object's fields as if it were newly marked; the object itself stays as it is.
  void scan_object(const heap::object_ref& o) noexcept;

  // Until no candidate is left here. Alone: no other worker marks. Stops early, true, after so many objects, or
  // bytes of scanning.
  bool drain_alone(std::size_t objects, std::size_t bytes = SIZE_MAX) noexcept;
  // With others: until the pool's round is over.
  void drain_shared() noexcept;
  // Beside the program, waiting for nobody. Stops early, true, after `objects` or `bytes` of scanning.
  bool drain_beside(std::size_t objects, std::size_t bytes) noexcept;
  // Gives the pool a buffer of what it has, if it has so much.
  void share() noexcept;
  // Hands what is left to the pool. False: there is no memory for work buffers, and the rest is still here.
  bool try_flush() noexcept;
  // The same where there is no way to go on without.
  void flush() noexcept;
  // Takes the memory that it needs to sort; without, it tries again when it does.
  void prepare_to_sort() noexcept { (void)sorter_.make_tails(); }
  bool has_work() const noexcept { return lo_ != hi_ || has_grey() || sorter_.entries() != 0; }

  std::size_t bytes_marked = 0;
  std::size_t objects_marked = 0;
  std::size_t bytes_scanned = 0;
  mark_slice* slice = nullptr;  // null: as long as there is work

 private:
  static constexpr std::size_t k_stack = 8192;
  static constexpr std::size_t k_deep = k_stack / 2;  // entries: more are too many for one marker
  static constexpr unsigned k_chase = 64;  // objects at a time: as often as other work has to be looked after

  void push(std::uintptr_t entry) noexcept {
    if (hi_ == k_stack) [[unlikely]]
      spill();
    stack_[hi_++] = entry;
  }
  bool has_grey() const noexcept { return n_grey_[0] + n_grey_[1] != 0; }
  unsigned find_batch(found_batch& out) noexcept;
  template <bool runs_cycle>
  static bool set_mark(heap::bit_group& bits, unsigned index, unsigned span_class) noexcept;
  template <bool runs_cycle>
  void mark_batch(found_batch& batch, unsigned n) noexcept;
  std::size_t scan_batch(unsigned which) noexcept;
  void sort_top(std::size_t n) noexcept;
  void stop_sorting() noexcept;
  work_buf* next_sorted() noexcept;
  template <bool runs_cycle, bool scouts>
  void chase() noexcept;
  template <bool runs_cycle, bool waits>
  void follow() noexcept;
  void stop_scouting() noexcept;
  template <bool runs_cycle, bool waits>
  bool drain(std::size_t objects, std::size_t bytes) noexcept;
  void between_objects() noexcept;
  void take_shaded() noexcept;  // see gc/work.h
  void scan_masked(std::uintptr_t at, std::uint64_t mask) noexcept;
  void push_oblets(std::uintptr_t at, std::size_t first, unsigned span_class) noexcept;
  void scan_oblet(std::uintptr_t at) noexcept;
  bool try_spill() noexcept;
  void spill() noexcept;
  bool take_more() noexcept;
  bool put_above(work_buf* b) noexcept;
  std::size_t move_out(std::size_t n) noexcept;

  work_pool& pool_;
  const bool runs_cycle_;
  scout scout_;            // what it does while it waits
  unsigned chases_ = 0;    // how often a list was followed
  int slow_ = 0;           // so often in a row that was slow, when it was timed
  unsigned scouting_ = 0;  // so often the scout is to go along
  // By region: see gc/regions.h.
  sorter sorter_;
  bool sorts_ = false;
  std::uint32_t region_ = k_no_region;  // where it is
  std::ptrdiff_t spilled_ = 0;          // buffers that went to the pool, less those that came from there
  // Live entries are stack_[lo_, hi_); shared from the low end.
  std::size_t lo_ = 0, hi_ = 0;
  // Marked and not yet scanned: by the batch at hand, grey_[filling_], and by the one before.
  unsigned filling_ = 0;
  bool mostly_marked_ = false;  // the candidates of the last batch
  unsigned n_grey_[2] = {};
  grey grey_[2][k_batch];
  std::uintptr_t stack_[k_stack + k_lanes];
};

// f(entry) for every word of [from, to), a part of a stack, that may be a pointer.
template <class F>
CAIRN_SCANS inline void for_each_stack_word(const void* from, const void* to, F&& f) noexcept {
  const std::uintptr_t base = heap::g_space.base;
  const std::size_t limit = heap::g_space.committed.load(std::memory_order_relaxed);
  for (auto* p = static_cast<const std::uintptr_t*>(from); p < to; ++p) {
    const std::uintptr_t word = *const_cast<const volatile std::uintptr_t*>(p);
    if (word - base > limit) continue;  // `limit` itself: one past the last array
    f(word % 8 == 0 ? word | k_stack_tag : word & ~std::uintptr_t{7});
  }
}

}  // namespace cairn::gc
