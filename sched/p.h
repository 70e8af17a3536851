// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// P: the right to run goroutines, and what goes with it. There are max_procs() of them; an M needs one to run a
// goroutine, and to use the scheduler's fast paths. What one allocates from is no part of it: that stays with the
// thread (sched/m.h), so a P changes hands without a look at the heap.
//
// Owner: the M whose `proc` word names it, inside sections (see own_p); for an idle P, the holder of the scheduler's
// lock.
#pragma once
#include <atomic>
#include <cstdint>

#include "sched/m.h"
#include "sched/run_queue.h"
#include "sched/stack.h"
#include "sched/timers.h"

namespace cairn::sched {

struct goroutine;

struct p {
  explicit p(int number) noexcept
      : id(number), random(0x9e3779b97f4a7c15u * static_cast<unsigned>(number + 1)) {}

  run_queue queue;
  timers timing;
  const int id;
  // Raised whenever a goroutine begins a slice of its own. Written by the owner, read by sysmon; relaxed: a clock.
  std::atomic<std::uint32_t> tick{0};
  // Set by sysmon: the running goroutine has had its slice. Cleared by the owner. Relaxed: a request.
  std::atomic<bool> preempt{false};
  std::atomic<m*> owner{nullptr};  // who has it, for sysmon; release by who hands it over, acquire by sysmon

  // ---- the owner's
  static constexpr unsigned k_records = 32;
  goroutine* records[k_records];  // free ones
  unsigned n_records = 0;
  stack_cache stacks;
  std::uint64_t next_id = 0, last_id = 0;  // a batch of goroutine ids
  std::uint64_t random;
  std::uint64_t last_wake = 0;                  // when queue_first last called for help, in ticks()
  std::uint32_t calls_for_help = 0, turns = 0;  // while it is left alone; see sched/stealing.h
  // ---- under the scheduler's lock
  enum class use : std::uint8_t { none, idle, taken };  // none: beyond the limit, and empty or about to be
  use is = use::none;
  p* next_idle = nullptr;

  // Goroutines that were made, and that have ended, while this was the P. Owner writes; see count_goroutines.
  std::atomic<std::uint64_t> started{0}, ended{0};

  // ---- by thieves: sched/stealing.h
  alignas(64) std::atomic<std::uint64_t> left_alone_until{0};  // in ticks(); 0: it is not
  std::atomic<std::uint32_t> poor_steals{0};
};

}  // namespace cairn::sched
