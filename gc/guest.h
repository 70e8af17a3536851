// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Threads of the program that mark for a moment: because they owe it (gc/assist.cc), or because it is their
// processor's turn (gc/share.h). Each borrows one of a few markers, and marks in pieces of 32 objects, each in
// a runtime section of its own, so that a handshake waits for one of them at most.
//
// The door. Marking has ended when nobody has a grey object in hand (gc/concurrent.h). A guest raises `guests_inside`
// before it looks whether the door is open; the cycle closes the door before it looks whether anybody is inside: both
// sequentially consistent, so one sees the other. Behind the closed door the cycle collects what guests have left.
#pragma once
#include <cstddef>

#include "gc/mark.h"
#include "sched/m.h"
#include "sched/preempt.h"

namespace cairn::gc {

// A free marker and its place.
struct lent_marker {
  marker* m = nullptr;
  unsigned place = 0;
};

// Inside the door, with a marker, for as long as the door stays open. Made and destroyed at depth 0.
class guest {
 public:
  explicit guest(sched::m& self) noexcept;
  // Adds what it has done to marking::guest_marked and scanned.
  ~guest();
  guest(const guest&) = delete;
  guest& operator=(const guest&) = delete;

  // Bytes scanned, 0 when nothing is left to do here.
  std::size_t piece() noexcept;

  // There is something that a guest could take.
  static bool any_work() noexcept;

 private:
  sched::m& self_;
  const sched::no_freeze awake_;  // the cycle spins until the last one is out of the door
  lent_marker lent_;
};

namespace guests {
void prepare();  // as many markers as there are Ps. Cycle lock held, depth 0
// By the thread that runs the cycle.
void open_door() noexcept;
// Returns when nobody is inside any more.
void close_door() noexcept;
// Behind the closed door: the grey objects that guests have left go to the pool of work. True if there were any.
bool collect_left() noexcept;
}  // namespace guests

}  // namespace cairn::gc
