// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/trim.h"

#include "heap/delay.h"
#include "sched/futex.h"
#include "sched/goroutine.h"
#include "sched/m.h"
#include "sched/proc.h"
#include "sched/records.h"
#include "sched/stack.h"

namespace cairn::sched::trim {
namespace {

// Where some() goes on. Sysmon's own.
std::size_t g_next_segment = 0;

bool is_due(const goroutine& g, std::int64_t now) noexcept {
  return g.status.load(std::memory_order_relaxed) == g_status::waiting &&
         g.trimmed_at.load(std::memory_order_relaxed) != g.runs.load(std::memory_order_relaxed) &&
         now - g.since.load(std::memory_order_relaxed) >= k_idle_ns;
}

// Held. The page in which it stands stays, and what the ABI lets a function use below its stack pointer.
void trim(goroutine& g) noexcept {
  stacks::trim({g.self.low, g.self.high}, g.self.at.sp);
  g.trimmed_at.store(g.runs.load(std::memory_order_relaxed), std::memory_order_relaxed);
}

void trim_if_due(goroutine& g, std::int64_t now) noexcept {
  if (!is_due(g, now)) return;
  const runtime_section section;  // sysmon has none; who else calls this is not stopped while he holds it
  hold(g);
  // Acquire, both: where it stopped was written before.
  const bool waits = g.status.load(std::memory_order_acquire) == g_status::waiting &&
                     g.running_on.load(std::memory_order_acquire) == nullptr;
  heap::maybe_delay("sched.trim");
  if (waits && g.self.high != nullptr) trim(g);
  release(g);
}

// Returns false when there is no such segment.
bool trim_segment(std::size_t segment, std::int64_t now) noexcept {
  if (segment >= records::segment_count.load(std::memory_order_acquire)) return false;
  records::for_each_in(
      segment, segment + 1, [now](goroutine& g) { trim_if_due(g, now); }, [](const goroutine&) {});
  return true;
}

}  // namespace

void some(std::int64_t now, std::int64_t budget_ns) noexcept {
  const std::size_t first = g_next_segment;
  do {
    if (!trim_segment(g_next_segment++, now)) g_next_segment = 0;
  } while (g_next_segment != first && now_ns() - now < budget_ns);
}

void all(std::int64_t now, const std::atomic<std::uint32_t>& stop, std::uint32_t seen) noexcept {
  for (std::size_t s = 0; stop.load(std::memory_order_acquire) == seen && trim_segment(s, now); ++s) {
  }
}

}  // namespace cairn::sched::trim
