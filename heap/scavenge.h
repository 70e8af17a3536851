// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The scavenger: returns the memory of free pages to the os.
//
// What it returns, in this order: units of 2 MiB that are wholly free, from the highest address; then free
// runs inside other units, from the highest, except in units that were dense in this cycle or the last: those
// fill up again, and punching holes into them would cost their huge page. Forced, it spares none.
//
// One step returns one run of at most 2 MiB. Under the lock it takes the run out of the page allocator, then
// gives it back to the os with no lock held, then frees it as scavenged under the lock: allocation never
// waits for madvise. Meanwhile the run counts as in use; an allocation that fails for want of pages looks at
// pages_held() and, unless it is 0, tries again.
//
// How much and how fast is decided by the pure functions at the end. The thread that calls them is the gc
// layer's.
#pragma once
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "cairn/detail/annotate.h"
#include "heap/lock.h"
#include "heap/page_alloc.h"

namespace cairn::heap {

class scavenger {
 public:
  // `pages_lock` is the lock that guards `pages`.
  constexpr scavenger(page_alloc& pages, lock& pages_lock) noexcept : pages_(pages), lock_(pages_lock) {}
  scavenger(const scavenger&) = delete;
  scavenger& operator=(const scavenger&) = delete;

  // Before the first step, with the address of page 0.
  void init(void* base) noexcept { base_ = static_cast<char*>(base); }

  // One run; the bytes that it returned, 0 when there is nothing to return or the os refuses. Called inside a
  // runtime section, one section a step: a handshake waits for at most one madvise of 2 MiB. Any number of
  // threads at a time.
  std::size_t step(bool force) noexcept CAIRN_EXCLUDES(lock_);
  // Steps until `bytes` are returned or nothing is left. What it returned.
  std::size_t scavenge(std::size_t bytes, bool force) noexcept CAIRN_EXCLUDES(lock_);
  // A collection ended: density is looked at anew.
  void next_cycle() noexcept CAIRN_EXCLUDES(lock_);

  // Pages that steps hold at this moment. It changes under the lock: who finds no pages and sees 0 there,
  // both in one hold of the lock, knows that there are none.
  std::size_t pages_held() const noexcept { return held_.load(std::memory_order_acquire); }
  // Returned since the start. Any thread.
  std::size_t bytes_returned() const noexcept { return returned_.load(std::memory_order_relaxed); }

 private:
  struct choice {
    page_alloc::idle_run run;
    bool final = false;  // false: nothing yet, the search goes on in another hold of the lock
  };
  choice choose(bool force, std::size_t& cursor) noexcept CAIRN_REQUIRES(lock_);
  choice take(bool force, std::size_t& forced_cursor) noexcept CAIRN_EXCLUDES(lock_);

  page_alloc& pages_;
  lock& lock_;
  char* base_ = nullptr;                                    // immutable after init
  std::size_t cursor_ CAIRN_GUARDED_BY(lock_) = k_no_page;  // units from here up were looked at in this cycle
  std::atomic<std::size_t> held_{0};
  std::atomic<std::size_t> returned_{0};
};

// ---- pace: pure functions ----

inline constexpr std::uint64_t k_no_limit = ~std::uint64_t{0};

struct scavenge_inputs {
  std::uint64_t in_use_at_last_cycle_bytes = 0;  // pages in use when the last one had marked, not swept; or 0
  std::uint64_t live_at_last_cycle_bytes = 0;    // what lay in them then, garbage included; or 0
  std::uint64_t heap_goal_bytes = 0;             // the goal of the one to come
  std::uint64_t retained_bytes = 0;              // pages in use, and free ones that are not scavenged
  std::uint64_t mapped_bytes = 0;                // all that counts against the memory limit
  std::uint64_t memory_limit_bytes = k_no_limit;
};

struct scavenge_goal {
  std::uint64_t retain_bytes = k_no_limit;  // of the heap's pages no more than this
  std::uint64_t mapped_bytes = k_no_limit;  // and of all memory no more than this
  std::uint64_t release_bytes = 0;          // so much is to be returned now to meet both
  bool force = false;                       // because of the limit: density does not count
};

// The heap keeps 10 % more than its next goal needs; all memory together keeps to 95 % of the limit.
scavenge_goal compute_scavenge_goal(const scavenge_inputs& in) noexcept;

// What an allocation of `bytes` must first return to stay within the limit.
std::uint64_t bytes_over_limit(std::uint64_t mapped_bytes, std::uint64_t bytes,
                               std::uint64_t limit_bytes) noexcept;

// Work of the background scavenger against its share of the CPU, 1 % of `procs`.
struct scavenge_pace {
  std::chrono::nanoseconds debt{0};  // time that must pass before it has earned its next work
};
inline constexpr double k_scavenge_cpu_share = 0.01;
// After `worked`, and `passed` since the last call altogether. The caller sleeps for the debt.
scavenge_pace next_scavenge_pace(scavenge_pace pace, std::chrono::nanoseconds worked,
                                 std::chrono::nanoseconds passed, unsigned procs) noexcept;

}  // namespace cairn::heap
