// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Assists: a thread that allocates faster than the workers mark does some of the marking itself, so that the heap does
// not grow past its goal.
//
// Each thread has a credit in bytes. Memory taken while a cycle marks is subtracted from it; who is below zero marks
// before it takes more, `work_per_byte` bytes of scanning for each byte it owes. First it takes over what the workers
// have done beyond anybody's assists. Then it marks itself, in quanta of at most 64 objects or 16 KiB, each in a
// runtime section of its own, so that a handshake waits for one of them at most. What is left of the debt it carries.
// Only when the heap is past its goal does it go on until the debt is paid; and if there is nothing to mark, because
// all grey objects are in others' hands, it waits for them.
//
// The door. Marking has ended when nobody has a grey object in hand (gc/concurrent.h). An assist raises `assisting`
// before it looks whether the door is open; the cycle closes the door before it looks whether anybody is inside: both
// sequentially consistent, so one sees the other.
#include "gc/runtime.h"
#include "heap/metadata.h"
#include "heap/private.h"
#include "sched/handshake.h"
#include "sched/hooks.h"
#include "sched/park.h"

namespace cairn::gc {

// ---- the pace ------------------------------------------------------------------------------------------------------

void marking::add_background_work(std::size_t bytes) noexcept {
  scanned.fetch_add(bytes, std::memory_order_relaxed);
  credit.fetch_add(static_cast<std::ptrdiff_t>(bytes), std::memory_order_relaxed);
  constexpr std::uint64_t k_update_ns = 100'000;
  std::uint64_t last = last_update.load(std::memory_order_relaxed);
  const std::uint64_t now = now_ns();
  if (now - last > k_update_ns && last_update.compare_exchange_strong(last, now, std::memory_order_relaxed))
    update_pace();
}

void marking::update_pace() noexcept {
  const pacing& p = rt().pace;
  mark_inputs in;
  in.gc_percent = p.percent.load(std::memory_order_relaxed);
  in.live = p.live.load(std::memory_order_relaxed);
  in.goal = p.goal.load(std::memory_order_relaxed);
  in.triggered = triggered;
  in.scanned = scanned.load(std::memory_order_relaxed);
  in.expected_scan = expected_scan;
  in.largest_scan = in.live;
  const assist_ratio ratio = compute_assist_ratio(in);
  work_per_byte.store(ratio.work_per_byte, std::memory_order_relaxed);
  bytes_per_work.store(ratio.bytes_per_work, std::memory_order_relaxed);
}

namespace assists {
namespace {

constexpr std::size_t k_quantum_objects = 64;
constexpr std::size_t k_quantum_bytes = 16 << 10;
constexpr std::int64_t k_wait_ns = 50'000;

// Markers for assists, as many as can run at a time. Free ones, under the lock.
struct marker_pool {
  heap::lock lock;
  marker* free[64] CAIRN_GUARDED_BY(lock) = {};
  unsigned n CAIRN_GUARDED_BY(lock) = 0;
  unsigned made = 0;  // Under the cycle lock.
};
CAIRN_PRIVATE constinit marker_pool g_pool;

marker* take_marker() noexcept {
  heap::lock_guard guard(g_pool.lock);
  return g_pool.n == 0 ? nullptr : g_pool.free[--g_pool.n];
}

void give_marker(marker* m) noexcept {
  heap::lock_guard guard(g_pool.lock);
  g_pool.free[g_pool.n++] = m;
}

// Takes over what workers did. Returns the bytes.
std::ptrdiff_t take_credit(std::ptrdiff_t wanted) noexcept {
  std::atomic<std::ptrdiff_t>& credit = rt().mark.credit;
  std::ptrdiff_t have = credit.load(std::memory_order_relaxed);
  while (have > 0) {
    const std::ptrdiff_t taken = have < wanted ? have : wanted;
    if (credit.compare_exchange_weak(have, have - taken, std::memory_order_relaxed)) return taken;
  }
  return 0;
}

// Returns the bytes scanned; `idle`: there was nothing to do.
std::size_t mark_quantum(sched::m& self, bool& idle) noexcept {
  sched::runtime_section section(self);
  marking& mark = rt().mark;
  std::size_t scanned = 0;
  idle = true;
  mark.assisting.fetch_add(1, std::memory_order_seq_cst);
  if (mark.assists_open.load(std::memory_order_seq_cst)) {
    if (marker* m = rt().work.has_full() ? take_marker() : nullptr) {
      m->bytes_marked = m->objects_marked = m->bytes_scanned = 0;
      m->drain_beside(k_quantum_objects, k_quantum_bytes);
      m->flush();
      scanned = m->bytes_scanned;
      idle = m->objects_marked == 0 && scanned == 0;
      mark.assist_marked.fetch_add(m->bytes_marked, std::memory_order_relaxed);
      mark.scanned.fetch_add(scanned, std::memory_order_relaxed);
      give_marker(m);
    }
  }
  // Release: with the cycle's look at it.
  mark.assisting.fetch_sub(1, std::memory_order_seq_cst);
  return scanned;
}

bool is_past_goal() noexcept {
  const pacing& p = rt().pace;
  return p.live.load(std::memory_order_relaxed) > p.goal.load(std::memory_order_relaxed);
}

[[gnu::noinline, gnu::cold]] void pay_slow(sched::m& self) {
  marking& mark = rt().mark;
  const std::uint64_t began = now_ns();
  while (self.assist_credit < 0 && mark.current() == phase::mark) {
    const double per_byte = mark.work_per_byte.load(std::memory_order_relaxed);
    const double bytes = mark.bytes_per_work.load(std::memory_order_relaxed);
    const auto debt = static_cast<std::ptrdiff_t>(static_cast<double>(-self.assist_credit) * per_byte) + 1;
    std::ptrdiff_t done = take_credit(debt);
    bool idle = false;
    if (done < debt) done += static_cast<std::ptrdiff_t>(mark_quantum(self, idle));
    self.assist_credit += static_cast<std::ptrdiff_t>(static_cast<double>(done) * bytes);
    if (!is_past_goal()) break;
    if (idle && self.assist_credit < 0) {
      std::atomic<std::uint32_t> never{0};
      sched::in_safe_state(self, [&] { sched::futex_wait(never, 0, sched::now_ns() + k_wait_ns); });
    }
  }
  const std::uint64_t took = now_ns() - began;
  mark.assist_ns.fetch_add(took, std::memory_order_relaxed);
  rt().count.assists.add(took);
}

}  // namespace

void prepare() {
  const auto wanted = static_cast<unsigned>(sched::procs() < 64 ? sched::procs() : 64);
  while (g_pool.made < wanted) {
    auto* m = new marker(rt().work);
    ++g_pool.made;
    sched::runtime_section section;
    give_marker(m);
  }
}

void pay(sched::m& self) {
  if (self.assist_credit < 0 && rt().mark.current() == phase::mark) [[unlikely]]
    pay_slow(self);
}

void charge(sched::m& self, std::size_t bytes) noexcept {
  if (rt().mark.current() == phase::mark) self.assist_credit -= static_cast<std::ptrdiff_t>(bytes);
}

}  // namespace assists
}  // namespace cairn::gc
