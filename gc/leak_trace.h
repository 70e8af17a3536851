// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Which goroutines are blocked for ever: a mark in two phases, with the world stopped, after Go's leak profile
// (Saioc et al., ASPLOS 2025). It starts from all roots but the goroutines that only others can wake, the
// suspects. Whenever it reaches something that a suspect waits for, that one can go on, and is a root too.
// Those that are left over when nothing is to be followed any more are leaked.
//
// What counts as reached. Goroutines of C++ share locals by reference, and a local is not in the collected
// heap. So every word is looked at not only as a pointer into the heap but also as one into a suspect's stack,
// which is then memory like any other: what lies on it is reached. What a suspect waits for may lie
//   in the heap           it can go on when the object is reached
//   on a suspect's stack  when that stack is reached, or its owner can go on. Its own stack is one of these: that
//                         others know what lies there shows in a reference to it
//   in a task             that a suspect runs: as on that one's stack. A task handle, which is a root, is left out
//                         then: who has it can only wait
//   elsewhere             at once. It is static, in malloc memory, or on the stack of somebody who is no suspect
//   nowhere               never: a null channel, a select without cases
// Objects are looked at whole, whatever their masks say: a raw pointer in a field is no reference for the
// collector, but whoever follows it may wake somebody. What leads to nobody are the links between those who
// wait in one line.
// Who is in a bubble of synctest is no suspect: it has a clock of its own (sched/bubble.h), and is told of deadlocks.
//
// What can come to life. Not reached by a root, but by somebody later on, are
//   objects with a weak reference    gc_weak::lock makes a reference out of nothing: they are roots here
//   what a running timer leads to    likewise, be it a timer's channel, to which the heap of timers leads weakly
//   functions of finalizers and cleanups, and what is queued for the finalizers' thread: roots of every cycle
//   dead objects with a finalizer or destructor that has yet to run: what these reach is followed, once it is known
//                                    that they are dead: that neither the roots nor the stacks of who is left over
//                                    lead to them, by the collector's rules. (What a leaked goroutine keeps never
//                                    gets there.)
//
// Who else may know of locals. A reference to a local is no reference to a collected object: it may lie in
// malloc memory and on threads that were never attached, in what was captured for another library's threads. So
// as long as anybody is left over, all other memory of the process is searched for addresses on the stacks of
// those (gc/outside.h), and the frames of what runs inside blocking(), which are none of the collector's
// business; twice, for who is not attached goes on, and may move one from where the search has yet to come to
// where it has been. Left out is what the runtime itself keeps of stacks, and what the C++ runtime notes of
// handlers in exceptions. What only such memory leads to in the collected heap is not followed: the collector
// does not, either. What nobody can read are the registers of a thread that is not attached.
//
// Why the world stands still. A store of a raw pointer has no barrier. Beside the program a reference to a
// local could always move from where the mark has yet to look to where it has been, and the goroutine whose
// local it is be accused of nothing: so all stacks, and all that they lead to, must be seen at one moment. That
// is also why there is nothing to say of goroutines that are woken meanwhile: threads stand still in no
// section, so whoever was taken out of the queue of what it waits for is runnable and no suspect; what the
// unattached threads of the runtime wake (the clock, the poller) are those whose timer runs or who wait for a
// descriptor; and nobody runs. Objects, marks, colours, barrier and figures of the collector stay as they were:
// the trace has bits of its own.
//
// The order in which the locks are taken is that of every stopped check: cycle lock, loader, registry.
//
// Rejected: suspects as stacks that stay grey in a cycle beside the program, as in Go. There every store of a
// pointer goes through the barrier, and no pointer leads to another goroutine's stack but a channel's.
#pragma once
#include <cstddef>
#include <cstdint>

#include "gc/mapped_array.h"
#include "gc/outside.h"
#include "gc/second_mark.h"
#include "sched/handshake.h"
#include "sched/inspect.h"

namespace cairn::gc {

using goroutine_list = mapped_array<sched::goroutine_name>;

enum class trace_result : std::uint8_t { complete, no_memory, cannot_read };

// Made and used with the world stopped. It holds addresses of stacks, so it must not lie where the trace looks:
// below the edge of spill_and_call.
class leak_trace {
 public:
  leak_trace() = default;
  leak_trace(const leak_trace&) = delete;
  leak_trace& operator=(const leak_trace&) = delete;

  // Inside with_loaded_objects, no cycle under way and everything swept. Adds the leaked ones to `out`, and says so in
  // their records. Else nothing of it is to be relied on.
  trace_result run(const sched::world_stopped& stopped, goroutine_list& out) noexcept;

 private:
  struct suspect {
    sched::goroutine* g;
    std::uintptr_t sp, high;
    std::uint32_t can_go_on;   // bool: what it waits for was reached
    std::uint32_t is_reached;  // bool: its stack was looked at, or is about to be
  };
  struct wait {
    std::uintptr_t at;  // an object's first byte, or an address on a suspect's stack
    std::uint64_t who;
  };
  static bool comes_first(const wait& a, const wait& b) noexcept { return a.at < b.at; }

  void list_suspects() noexcept;
  void add_suspect(sched::goroutine& g) noexcept;
  suspect* runner_of(std::uintptr_t task) noexcept;
  void add_wait(std::size_t who, std::uintptr_t at) noexcept;
  void list_waits() noexcept;
  void follow_roots(const sched::world_stopped& stopped) noexcept;
  void follow_leaked() noexcept;
  void follow_dying() noexcept;
  bool look_outside(const sched::world_stopped& stopped) noexcept;
  void leave_out(const sched::world_stopped& stopped, mapped_array<address_range>& ranges) noexcept;
  bool any_left() const noexcept;

  template <class F>
  void for_waits_in(std::uintptr_t from, std::uintptr_t to, F&& f) noexcept;
  suspect* owner_of(std::uintptr_t address) noexcept;
  void let_go_on(suspect& s) noexcept;
  void reach_stack(suspect& s) noexcept;
  void visit(std::uintptr_t word) noexcept;
  void visit_end(std::uintptr_t word) noexcept;
  void visit_if_dying(const heap::object_ref& o) noexcept;
  void scan(const void* from, const void* to) noexcept;
  void scan_object(std::uintptr_t at) noexcept;
  void scan_suspect(const suspect& s) noexcept;
  void push(std::uintptr_t entry) noexcept;
  void drain() noexcept;

  mapped_array<suspect> suspects_;     // by sp, once all are there
  mapped_array<wait> waits_;           // by address, likewise
  mapped_array<wait> tasks_;           // of suspects, likewise: what others wait for when they wait for these
  mapped_array<std::uintptr_t> work_;  // objects, and 2 i + 1: the stack of suspect i
  heap_bits awaited_;                  // objects that suspects wait for
  heap_bits seen_;
  heap_bits kept_by_leaked_;  // reached from the stacks of those that are left over
  bool out_of_memory_ = false;
  std::uintptr_t stacks_ = 0;  // where the first one begins; and how far it is to where the last one ends
  std::size_t stacks_bytes_ = 0;
};

}  // namespace cairn::gc
