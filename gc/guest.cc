// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// See gc/guest.h.
#include "gc/guest.h"

#include <atomic>
#include <new>

#include "gc/runtime.h"
#include "gc/vectors.h"
#include "heap/delay.h"
#include "heap/pause.h"
#include "heap/private.h"
#include "sched/hooks.h"

namespace cairn::gc {
namespace {

constexpr std::size_t k_turn_objects = 32, k_turn_bytes = 4 << 10;

// Markers for guests, as many as can run at a time, each with a place of its own: there when it is free, null while a
// thread has it. Without a lock, whose holder the kernel may have taken off its processor. They keep the grey objects
// that a guest leaves behind, for the next one: handing them to the pool and taking others from it each time costs
// some ten turns at the pool.
struct marker_pool {
  std::atomic<marker*> places[64] = {};
  std::atomic<unsigned> made{0};  // Places in use, the first ones. Written under the cycle lock.
  // Of the free ones; too many for a moment, never too few: raised before the marker is back, lowered after it was
  // taken. Read as a hint by who looks for work.
  std::atomic<unsigned> with_work{0};
};
CAIRN_PRIVATE constinit marker_pool g_pool;

// One with work, if there is any; another one, if `any_will_do`.
lent_marker try_take_marker(unsigned first, bool any_will_do) noexcept {
  const unsigned n = g_pool.made.load(std::memory_order_relaxed);
  for (unsigned k = 0; k < n; ++k) {
    const unsigned i = (first + k) % n;
    if (g_pool.places[i].load(std::memory_order_relaxed) == nullptr) continue;
    // Acquire: pairs with give_marker.
    marker* m = g_pool.places[i].exchange(nullptr, std::memory_order_acquire);
    if (m == nullptr) continue;
    if (m->has_work()) {
      g_pool.with_work.fetch_sub(1, std::memory_order_relaxed);
      return {m, i};
    }
    if (any_will_do) return {m, i};
    heap::maybe_delay("guest.put_back");
    g_pool.places[i].store(m, std::memory_order_release);
  }
  return {};
}

// The one that the thread had last, if it can be had: its stack is in the processor's cache.
lent_marker take_marker(sched::m& self) noexcept {
  lent_marker lent;
  if (g_pool.with_work.load(std::memory_order_relaxed) != 0) lent = try_take_marker(self.lent_last, false);
  if (lent.m == nullptr) lent = try_take_marker(self.lent_last, true);
  if (lent.m != nullptr) self.lent_last = lent.place;
  return lent;
}

// Nobody else writes to the place: it is null for as long as its marker is away.
void give_marker(lent_marker back) noexcept {
  if (back.m->has_work()) g_pool.with_work.fetch_add(1, std::memory_order_relaxed);
  heap::maybe_delay("guest.give");
  g_pool.places[back.place].store(back.m, std::memory_order_release);
}

bool door_is_open() noexcept { return rt().mark.door_open.load(std::memory_order_seq_cst); }

// Where the system has no memory to hand over the rest it is marked here, a piece at a time.
void finish_left(marker& m) noexcept {
  marking& mark = rt().mark;
  m.bytes_marked = m.objects_marked = m.bytes_scanned = 0;
  for (bool more = true; more;) {
    sched::runtime_section section;
    more = !m.try_flush() && m.drain_beside(k_turn_objects, k_turn_bytes);
  }
  mark.guest_marked.fetch_add(m.bytes_marked, std::memory_order_relaxed);
  mark.scanned.fetch_add(m.bytes_scanned, std::memory_order_relaxed);
}

}  // namespace

bool guest::any_work() noexcept {
  return g_pool.with_work.load(std::memory_order_relaxed) != 0 || rt().work.has_full();
}

guest::guest(sched::m& self) noexcept : self_(self) {
  sched::runtime_section section(self_);
  rt().mark.guests_inside.fetch_add(1, std::memory_order_seq_cst);
  if (!any_work()) rt().work.ask();
  else if (door_is_open()) lent_ = take_marker(self_);
  if (marker* const m = lent_.m) m->bytes_marked = m->objects_marked = m->bytes_scanned = 0;
}

guest::~guest() {
  sched::runtime_section section(self_);
  marking& mark = rt().mark;
  if (marker* const m = lent_.m) {
    if (!rt().work.has_full()) m->share();  // for workers that have nothing left; the rest stays here
    mark.guest_marked.fetch_add(m->bytes_marked, std::memory_order_relaxed);
    mark.scanned.fetch_add(m->bytes_scanned, std::memory_order_relaxed);
    give_marker(lent_);
  }
  forget_vectors();                                            // last: to hand over is to mark, too
  mark.guests_inside.fetch_sub(1, std::memory_order_seq_cst);  // with the cycle's look at it
}

std::size_t guest::piece() noexcept {
  marker* const m = lent_.m;
  if (m == nullptr || !door_is_open()) return 0;
  sched::runtime_section section(self_);
  const std::size_t before = m->bytes_scanned;
  const bool more = m->drain_beside(k_turn_objects, k_turn_bytes);
  const std::size_t scanned = m->bytes_scanned - before;
  return scanned == 0 && more ? 1 : scanned;
}

namespace guests {

void open_door() noexcept { rt().mark.door_open.store(true, std::memory_order_seq_cst); }

void close_door() noexcept {
  marking& mark = rt().mark;
  mark.door_open.store(false, std::memory_order_seq_cst);
  for (unsigned spins = 0; mark.guests_inside.load(std::memory_order_seq_cst) != 0; ++spins) {
    heap::cpu_relax();
    if (spins > 100) heap::yield_cpu();
  }
}

bool collect_left() noexcept {
  bool any = false;
  // All are in their places: nobody assists. Acquire: pairs with give_marker.
  for (unsigned i = 0, n = g_pool.made.load(std::memory_order_relaxed); i < n; ++i) {
    marker& m = *g_pool.places[i].load(std::memory_order_acquire);
    if (!m.has_work()) continue;
    any = true;
    finish_left(m);
  }
  g_pool.with_work.store(0, std::memory_order_relaxed);
  return any;
}

void prepare() {
  const auto wanted = static_cast<unsigned>(sched::procs() < 64 ? sched::procs() : 64);
  for (unsigned n = g_pool.made.load(std::memory_order_relaxed); n < wanted; ++n) {
    auto* m = new (std::nothrow) marker(rt().work);
    if (m == nullptr) return;  // fewer assist at a time
    g_pool.places[n].store(m, std::memory_order_release);
    g_pool.made.store(n + 1, std::memory_order_relaxed);
  }
}

}  // namespace guests
}  // namespace cairn::gc
