// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Threads of the program that mark for a moment: because they owe it (gc/assist.cc), or because it is their
// processor's turn (gc/share.h). Each borrows one of a few markers, and marks in pieces of 32 objects, each in
// a runtime section of its own, so that a handshake waits for one of them at most.
//
// The door. Marking has ended when nobody has a grey object in hand (gc/concurrent.h). A guest takes its marker, which
// leaves the marker's place empty, before it looks whether the door is open; the cycle closes the door, and then
// takes and gives back each marker in turn, for which it waits: all four sequentially consistent. Whose exchange came
// before the cycle's at that place has to be done first; whose comes after it finds the door closed, and gives
// the marker back as it is. Behind the closed door the cycle collects what guests have left, taking each marker
// again: somebody who comes late may have it in hand.
#pragma once
#include <cstddef>
#include <cstdint>
#include <utility>

#include "gc/mark.h"
#include "sched/m.h"
#include "sched/preempt.h"

namespace cairn::gc {

// A free marker and its place.
struct lent_marker {
  marker* m = nullptr;
  unsigned place = 0;
};

// To whom what is marked is credited: to all, as the background's work is, or to nobody, because the guest keeps it.
enum class for_whom : std::uint8_t { all, itself };

// When a slice is over that should end at `until`: with the piece whose end is nearest to that. The next one takes as
// long as the last, so it is not begun if it would end further behind `until` than the last one before it.
class piece_clock {
 public:
  piece_clock(std::uint64_t now, std::uint64_t until) noexcept : last_(now), until_(until) {}
  // After each piece.
  bool is_over(std::uint64_t now) noexcept {
    const std::uint64_t piece = now - std::exchange(last_, now);
    return now + piece / 2 >= until_;
  }

 private:
  std::uint64_t last_;
  const std::uint64_t until_;
};

// Inside the door, with a marker, for as long as the door stays open. Made and destroyed at depth 0.
class guest {
 public:
  guest(sched::m& self, for_whom whom) noexcept;
  // What it has scanned is in marking::scanned, and in its credit, by the time the door is closed; sooner if it
  // is much.
  ~guest();
  guest(const guest&) = delete;
  guest& operator=(const guest&) = delete;

  // Bytes scanned, 0 when nothing is left to do here.
  std::size_t piece() noexcept;

  // There is something that a guest could take.
  static bool any_work() noexcept;
  // Has a marker in hand.
  static bool is_anybody_inside() noexcept;

 private:
  sched::m& self_;
  const for_whom whom_;
  const sched::no_freeze awake_;  // the cycle spins until the last one is out of the door
  lent_marker lent_;
  std::size_t scanned_before_ = 0;  // by its marker
};

namespace guests {
// As many markers as there are Ps, ready for the cycle that regions().fit() was for. Cycle lock held, depth 0.
void prepare();
// By the thread that runs the cycle, as all below. The counts of what is marked start again; behind the closed door.
void begin_cycle() noexcept;
void open_door() noexcept;
// Returns when nobody is inside any more.
void close_door() noexcept;
// Behind the closed door: the grey objects that guests have left go to the pool of work. True if there were any.
bool collect_left() noexcept;
// Marked by guests in this cycle; behind the closed door.
std::size_t bytes_marked() noexcept;
}  // namespace guests

}  // namespace cairn::gc
