// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Which pages the scavenger returns, and its pace. See heap/scavenge.h for overview.
#include "heap/scavenge.h"

#include <algorithm>

#include "cairn/detail/size_class.h"
#include "heap/os.h"

namespace cairn::heap {

using detail::k_page_bytes;

scavenger::choice scavenger::choose(bool force, std::size_t& cursor) noexcept {
  // So many units are looked at with the lock held: some microseconds.
  constexpr int k_looks = 512;
  if (const std::size_t unit = pages_.highest_whole_unit(k_no_page); unit != k_no_page) {
    return {pages_.take_idle(unit, 1), true};
  }
  const std::size_t granule = std::max(the_os().physical_page_bytes() / k_page_bytes, std::size_t{1});
  for (int i = 0; i < k_looks; ++i) {
    const std::size_t unit = pages_.highest_idle_unit(cursor);
    if (unit == k_no_page) {
      cursor = k_no_page;  // the next pass starts at the top
      return {{}, true};
    }
    if (force || !pages_.was_dense(unit)) {
      const page_alloc::idle_run run = pages_.take_idle(unit, granule);
      cursor = unit + 1;  // it may have more
      if (run.count != 0) return {run, true};
    }
    cursor = unit;
  }
  return {{}, false};
}

scavenger::choice scavenger::take(bool force, std::size_t& forced_cursor) noexcept {
  lock_guard guard(lock_);
  const choice c = choose(force, force ? forced_cursor : cursor_);
  // Release: pairs with pages_held().
  held_.fetch_add(c.run.count, std::memory_order_release);
  return c;
}

std::size_t scavenger::step(bool force) noexcept {
  // A forced search starts at the top, whatever the background one has passed.
  std::size_t forced_cursor = k_no_page;
  choice c = take(force, forced_cursor);
  while (!c.final) c = take(force, forced_cursor);
  const page_alloc::idle_run run = c.run;
  if (run.count == 0) return 0;

  const bool given = the_os().give_back(base_ + run.page * k_page_bytes, run.count * k_page_bytes);

  lock_guard guard(lock_);
  if (given) {
    pages_.free_scavenged(run.page, run.count);
  } else {
    pages_.free(run.page, run.count);
  }
  held_.fetch_sub(run.count, std::memory_order_release);
  const std::size_t bytes = given ? run.idle_pages * k_page_bytes : 0;
  returned_.fetch_add(bytes, std::memory_order_relaxed);
  return bytes;
}

std::size_t scavenger::scavenge(std::size_t bytes, bool force) noexcept {
  std::size_t done = 0;
  while (done < bytes) {
    const std::size_t more = step(force);
    if (more == 0) break;
    done += more;
  }
  return done;
}

void scavenger::next_cycle() noexcept {
  lock_guard guard(lock_);
  pages_.next_cycle();
  cursor_ = k_no_page;
}

// ---- pace ----

scavenge_goal compute_scavenge_goal(const scavenge_inputs& in) noexcept {
  // Raise -> fewer pages are returned only to be asked for again; lower -> a smaller process. 10 % is Go's,
  // kept until measured otherwise.
  constexpr double k_retain = 1.10;
  // The rest of the limit is for what is mapped between two looks.
  constexpr double k_limit_share = 0.95;
  scavenge_goal goal;
  if (in.in_use_at_last_cycle_bytes != 0 && in.live_at_last_cycle_bytes != 0) {
    // The pages in use grow with what lies in them, up to the next goal: fragmentation stays what it was. (Not with the
    // goals: a cycle that was forced, or begun long after its goal, ends far from it.)
    const double growth = static_cast<double>(in.heap_goal_bytes) /
                          static_cast<double>(in.live_at_last_cycle_bytes);
    const double retain = static_cast<double>(in.in_use_at_last_cycle_bytes) * growth * k_retain;
    if (retain < 0x1p63) {
      goal.retain_bytes = (static_cast<std::uint64_t>(retain) + k_page_bytes - 1) / k_page_bytes *
                          k_page_bytes;
    }
    if (in.retained_bytes > goal.retain_bytes) goal.release_bytes = in.retained_bytes - goal.retain_bytes;
  }
  if (in.memory_limit_bytes != k_no_limit) {
    const double share = static_cast<double>(in.memory_limit_bytes) * k_limit_share;
    goal.mapped_bytes = static_cast<std::uint64_t>(share);
    if (in.mapped_bytes > goal.mapped_bytes) {
      goal.release_bytes = std::max(goal.release_bytes, in.mapped_bytes - goal.mapped_bytes);
      goal.force = true;
    }
  }
  return goal;
}

std::uint64_t bytes_over_limit(std::uint64_t mapped_bytes, std::uint64_t bytes,
                               std::uint64_t limit_bytes) noexcept {
  if (limit_bytes == k_no_limit) return 0;
  const std::uint64_t room = limit_bytes > mapped_bytes ? limit_bytes - mapped_bytes : 0;
  if (bytes <= room) return 0;
  // What others are over already is not this allocation's to pay.
  return bytes - room;
}

scavenge_pace next_scavenge_pace(scavenge_pace pace, std::chrono::nanoseconds worked,
                                 std::chrono::nanoseconds passed, unsigned procs) noexcept {
  using std::chrono::nanoseconds;
  // One bad reading of the clock, or a machine that slept, must not silence the scavenger for long.
  constexpr nanoseconds k_most = std::chrono::seconds(10);
  const double earned_in = static_cast<double>(worked.count()) / (k_scavenge_cpu_share * std::max(procs, 1u));
  const nanoseconds cost = earned_in < static_cast<double>(k_most.count())
                               ? nanoseconds(static_cast<std::int64_t>(earned_in))
                               : k_most;
  // No credit for idle time: a burst of work after a long sleep would be seen.
  return {std::clamp(pace.debt + cost - passed, nanoseconds(0), k_most)};
}

}  // namespace cairn::heap
