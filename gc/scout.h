// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Running ahead of a list.
//
// A list is one chain of loads: the next one can begin when the last one has come, and if the objects lie in no order,
// each takes as long as memory does, a hundred times what the work on it takes. So the list is entered in other places,
// too, by a worker that has nothing else to do, or by the very one that waits for the next load.
//
// A scout takes objects at random that are allocated and not marked, its starts, and follows the lists from
// there, eight of them at a time, whose loads overlap, without marking anything. Of each 32 objects, about, it
// notes one. When some marker has marked a start, all that was noted from there is reachable: the notes become
// candidates, and from each of them the list is followed anew, now with many pieces of it to be followed at
// once and by all workers. A start may as well be garbage: then it is never marked, and its notes are thrown
// away.
//
// Why that is right. What comes of it are candidates, which are checked and marked as any others; each object that
// is marked is scanned, whether or not it was looked at before. So nothing can be missed. Nor is anything marked
// that is not reachable, but for what floats in any case: a note was reached by pointers from the start, all of them
// read in this cycle; what can be reached from an object that turns out to be reachable was so when marking began, or
// was born since. (A start in a span that is just being made may be read with a former span's mask; what it leads to
// may float, too.) Notes are given up when their marker has nothing left to do, or hands over what it has.
// What is read belongs to the heap, and is only read: that it may be garbage, or be handed out meanwhile, makes a
// note useless at the worst.
//
// For the end of marking (gc/work.h) a scout has no entry: what it knows need not be done. An idle worker stays idle
// until one of its starts is marked; then it becomes busy, and has candidates.
//
// Which objects are noted depends on their addresses, so lists that come together note the same ones. By a small table
// of what it has noted last a scout finds that it is where it has been, and begins elsewhere.
//
// Rejected: bits of their own for what was looked at (as much memory as the marks, and all of it to be cleared);
// comparing each object that is marked with the starts (their mark bits tell the same); one list at a time (it covers
// as much as the marker does, not eight times as much).
#pragma once
#include <cstddef>
#include <cstdint>

#include "gc/work.h"
#include "heap/space.h"

namespace cairn::gc {

// Owner: its marker.
class scout {
 public:
  explicit scout(work_pool& pool) noexcept
      : pool_(pool), seed_(0x9e3779b97f4a7c15 ^ reinterpret_cast<std::uintptr_t>(this)) {}
  scout(const scout&) = delete;
  scout& operator=(const scout&) = delete;

  // One object further in each list. Prefetches the next ones.
  void advance() noexcept;
  // A start has been marked.
  bool has_reached() noexcept;
  // By a worker that is busy, when has_reached() has returned true: what was noted from there; most of it goes to the
  // pool. Null: nothing was.
  work_buf* take() noexcept;
  // Its marker has nothing left.
  void give_up() noexcept {
    if (used_) forget();
  }

 private:
  static constexpr unsigned k_lists = 8;
  static constexpr unsigned k_trails = 32;
  static constexpr unsigned k_table = 1024;
  static constexpr unsigned k_most_buffers = 1024;  // of notes: 2 MiB

  // What was noted from a start.
  struct trail {
    const heap::bit_group* bits = nullptr;  // of the start; null: there is none
    std::uint64_t bit = 0;
    work_buf* notes = nullptr;  // the last buffer; each links to the one before
    bool reached() const noexcept { return bits != nullptr && (bits->marked() & bit) != 0; }
  };
  // A list that is being followed: if `at` is not 0.
  struct list {
    std::uintptr_t at = 0;      // comes next
    std::uintptr_t before = 0;  // the object before it
    unsigned unnoted = 0;       // steps since the last note
    trail notes;
  };
  void make_room() noexcept;
  bool begin(list& l) noexcept;
  bool step(list& l) noexcept;
  bool note(list& l) noexcept;
  bool add(trail& t, std::uintptr_t at) noexcept;
  void end(list& l) noexcept;
  void drop(trail& t) noexcept;
  void forget() noexcept;
  std::uint64_t random() noexcept;

  work_pool& pool_;
  list lists_[k_lists];
  trail ended_[k_trails];  // those whose lists have ended; the first n_
  unsigned n_ = 0;
  unsigned buffers_ = 0;      // of notes
  trail* reached_ = nullptr;  // found by has_reached(), in lists_ or ended_
  bool used_ = false;
  std::uint64_t seed_;  // each scout's own, or they would follow the same lists
  std::uint32_t noted_[k_table] = {};
};

}  // namespace cairn::gc
