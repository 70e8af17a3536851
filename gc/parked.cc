// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "gc/parked.h"

#include <atomic>

#include "cairn/go.h"
#include "gc/barrier.h"
#include "gc/runtime.h"
#include "gc/slice.h"
#include "heap/delay.h"
#include "heap/pause.h"
#include "heap/private.h"
#include "sched/preempt.h"
#include "sched/records.h"

namespace cairn::gc {
namespace {

// What is dealt out. Written by the thread that runs the cycle, outside of rounds, but for the two counts.
struct deal {
  bool is_on = false;
  std::size_t end = 0;                // segments
  std::atomic<std::size_t> next{0};   // of them
  std::atomic<std::size_t> bytes{0};  // scanned; relaxed: leaving the round publishes it
};
CAIRN_PRIVATE constinit deal g_deal;

// Helpers need 5 to 50 us to come, in which some two segments are done.
constexpr std::size_t k_few_segments = 8;

// The part of its stack that it was busy with when it parked: most have no more. What it reads may change meanwhile,
// and is a hint.
CAIRN_SCANS void prefetch_stack(const sched::goroutine& g) noexcept {
  constexpr std::ptrdiff_t k_bytes = 512, k_line = 64;
  const char* sp = static_cast<const char*>(*const_cast<void* const volatile*>(&g.self.at.sp));
  for (std::ptrdiff_t at = 0; at < k_bytes; at += k_line) __builtin_prefetch(sp + at);
}

// Makes it black, or waits until somebody has. Bytes of stack that the caller has scanned.
std::size_t make_black(marker& m, sched::goroutine& g, std::uint32_t wanted) noexcept {
  // A goroutine that collects could be frozen with the bit set, while who wants to run `g` spins on the only P.
  const sched::no_freeze awake;
  std::size_t bytes = 0;
  // Acquire, here and below: with who scanned it, or let go of it.
  std::uint32_t has = g.scan.load(std::memory_order_acquire);
  for (unsigned spins = 0; has != wanted;) {
    if ((has & 1) != 0) {  // somebody scans it, or is about to drop it
      heap::relax(spins);
      has = g.scan.load(std::memory_order_acquire);
      continue;
    }
    if (!g.scan.compare_exchange_weak(has, has | 1, std::memory_order_acquire, std::memory_order_acquire))
      continue;
    heap::maybe_delay("cycle.goroutine");
    if (g.status.load(std::memory_order_acquire) != sched::g_status::free && !runs(g))
      bytes = scan_parked(g, [&m](const void* from, const void* to) { m.scan_stack(from, to); });
    g.scan.store(wanted, std::memory_order_release);
    break;
  }
  return bytes;
}

void scan_dealt(marker& m) noexcept {
  const std::uint32_t wanted = sched::scan_epoch.load(std::memory_order_relaxed);
  std::size_t bytes = 0;
  // Relaxed: what is dealt was there before the round.
  for (std::size_t at; (at = g_deal.next.fetch_add(1, std::memory_order_relaxed)) < g_deal.end;) {
    sched::records::for_each_in(
        at, at + 1, [&](sched::goroutine& g) { bytes += make_black(m, g, wanted); }, prefetch_stack);
    if (m.slice != nullptr) m.slice->check(m);
  }
  g_deal.bytes.fetch_add(bytes, std::memory_order_relaxed);
}

}  // namespace

void scan_goroutine(sched::goroutine& g) noexcept {
  if (!barrier_is_on()) return;
  work_writer out(rt().work);
  scan_parked(g, [&out](const void* from, const void* to) {
    for_each_stack_word(from, to, [&out](std::uintptr_t entry) { out.push(entry); });
  });
}

std::size_t scan_parked_goroutines(marker& m) noexcept {
  g_deal.end = sched::records::segment_count.load(std::memory_order_acquire);
  g_deal.next.store(0, std::memory_order_relaxed);
  g_deal.bytes.store(0, std::memory_order_relaxed);
  const int idle = max_procs() - 1 - rt().mark.running.load(std::memory_order_relaxed);
  if (g_deal.end < k_few_segments || idle <= 0 || !helpers::available()) {
    scan_dealt(m);
  } else {
    work_pool& pool = rt().work;
    g_deal.is_on = true;
    pool.begin_round();
    helpers::wake(idle);
    scan_dealt(m);
    pool.close_round();
    pool.leave();
    pool.await_others();
    g_deal.is_on = false;
  }
  return g_deal.bytes.load(std::memory_order_relaxed);
}

bool parked::is_dealt() noexcept { return g_deal.is_on; }

void parked::take_part(marker& m) noexcept {
  scan_dealt(m);
  m.flush();
}

}  // namespace cairn::gc
