// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// See gc/guest.h.
#include "gc/guest.h"

#include <atomic>
#include <new>
#include <utility>

#include "gc/runtime.h"
#include "gc/vectors.h"
#include "heap/delay.h"
#include "heap/pause.h"
#include "heap/private.h"
#include "sched/hooks.h"

namespace cairn::gc {
namespace {

constexpr std::size_t k_turn_objects = 32, k_turn_bytes = 4 << 10;
constexpr std::size_t k_publish_bytes = 16 << 10;

// Where a marker is while it is free; null: a thread has it. All else is that thread's, or the cycle's, as the marker
// itself is: `free` is emptied with acquire and filled again with release.
struct alignas(64) place {
  std::atomic<marker*> free{nullptr};
  std::atomic<bool> has_work{false};  // what was left in it; read by anybody, as a hint
  std::size_t scanned = 0;            // not yet in marking::scanned, nor in its credit
  std::size_t credit = 0;
};

// Markers for guests, as many as can run at a time, each with a place of its own. Without a lock, whose holder the
// kernel may have taken off its processor. They keep the grey objects that a guest leaves behind, for the next one:
// handing them to the pool and taking others from it each time costs some ten turns at the pool.
//
// A thread comes for two microseconds, and mostly to the place that it had last. So what it does each time is done to
// the lines of that place, which no other processor has: that somebody is inside is said by the place, which
// is empty, and bytes are reported to all when they are many.
struct marker_pool {
  place places[64];
  std::atomic<unsigned> made{0};  // Places in use, the first ones. Written under the cycle lock.
  // Of markers that were given back with work and not yet without: too many for a moment, never too few, for it
  // is raised before the marker is back.
  std::atomic<unsigned> with_work{0};
};
CAIRN_PRIVATE constinit marker_pool g_pool;

unsigned made() noexcept { return g_pool.made.load(std::memory_order_relaxed); }

// Sequentially consistent: with the look at the door that follows, against close_door. Reading first keeps the line
// where it is. Acquire: pairs with give_back.
marker* try_take(place& at) noexcept {
  if (at.free.load(std::memory_order_relaxed) == nullptr) return nullptr;
  return at.free.exchange(nullptr, std::memory_order_seq_cst);
}

// Nobody else writes to the place: it is empty for as long as its marker is away.
void give_back(place& at, marker* m) noexcept {
  heap::maybe_delay("guest.give");
  at.free.store(m, std::memory_order_release);
}

bool has_free_work(const place& at) noexcept {
  return at.has_work.load(std::memory_order_relaxed) && at.free.load(std::memory_order_relaxed) != nullptr;
}

bool any_free_work() noexcept {
  if (g_pool.with_work.load(std::memory_order_relaxed) == 0) return false;
  for (unsigned i = 0, n = made(); i < n; ++i)
    if (has_free_work(g_pool.places[i])) return true;
  return false;
}

// The first one from `first` on, with work if that is wanted.
lent_marker try_take_marker(unsigned first, bool with_work) noexcept {
  const unsigned n = made();
  for (unsigned k = 0; k < n; ++k) {
    const unsigned i = first + k < n ? first + k : (first + k) % n;
    place& at = g_pool.places[i];
    if (with_work && !has_free_work(at)) continue;
    if (marker* m = try_take(at)) return {m, i};
  }
  return {};
}

// The one that the thread had last, if it can be had: its stack is in the processor's cache. Another one only if there
// is work in that and nowhere else.
lent_marker take_marker(sched::m& self) noexcept {
  lent_marker lent;
  const bool is_enough = self.lent_last < made() && has_free_work(g_pool.places[self.lent_last]);
  if (!is_enough && !rt().work.has_full() && any_free_work()) lent = try_take_marker(self.lent_last, true);
  if (lent.m == nullptr) lent = try_take_marker(self.lent_last, false);
  if (lent.m != nullptr) self.lent_last = lent.place;
  return lent;
}

void publish(place& at) noexcept {
  marking& mark = rt().mark;
  mark.scanned.fetch_add(std::exchange(at.scanned, 0), std::memory_order_relaxed);
  if (at.credit != 0) mark.add_credit(std::exchange(at.credit, 0));
}

void give_marker(lent_marker back) noexcept {
  place& at = g_pool.places[back.place];
  if (const bool has = back.m->has_work(); has != at.has_work.load(std::memory_order_relaxed)) {
    at.has_work.store(has, std::memory_order_relaxed);
    g_pool.with_work.fetch_add(has ? 1 : -1u, std::memory_order_relaxed);
  }
  give_back(at, back.m);
}

// Each marker in turn, by who runs the cycle, behind the closed door: who takes one there gives it back at once, and
// does nothing with it.
template <class F>
void with_each(F&& f) noexcept {
  for (unsigned i = 0, n = made(); i < n; ++i) {
    place& at = g_pool.places[i];
    marker* m = at.free.exchange(nullptr, std::memory_order_seq_cst);
    for (unsigned spins = 0; m == nullptr; m = at.free.exchange(nullptr, std::memory_order_seq_cst)) {
      heap::cpu_relax();
      if (++spins > 100) heap::yield_cpu();
    }
    f(at, *m);
    give_back(at, m);
  }
}

bool door_is_open() noexcept { return rt().mark.door_open.load(std::memory_order_seq_cst); }

// Where the system has no memory to hand over the rest it is marked here, a piece at a time.
void finish_left(place& at, marker& m) noexcept {
  const std::size_t before = m.bytes_scanned;
  for (bool more = true; more;) {
    sched::runtime_section section;
    more = !m.try_flush() && m.drain_beside(k_turn_objects, k_turn_bytes);
  }
  at.scanned += m.bytes_scanned - before;
  at.has_work.store(false, std::memory_order_relaxed);
}

}  // namespace

bool guest::any_work() noexcept { return rt().work.has_full() || any_free_work(); }

bool guest::is_anybody_inside() noexcept {
  for (unsigned i = 0, n = made(); i < n; ++i)
    if (g_pool.places[i].free.load(std::memory_order_relaxed) == nullptr) return true;
  return false;
}

guest::guest(sched::m& self, for_whom whom) noexcept : self_(self), whom_(whom) {
  sched::runtime_section section(self_);
  if (!any_work()) {
    rt().work.ask();
    return;
  }
  if (!rt().mark.door_open.load(std::memory_order_relaxed)) return;
  lent_ = take_marker(self_);
  if (lent_.m == nullptr) return;
  heap::maybe_delay("guest.door");
  if (!door_is_open()) give_back(g_pool.places[lent_.place], std::exchange(lent_.m, nullptr));
  else scanned_before_ = lent_.m->bytes_scanned;
}

guest::~guest() {
  marker* const m = lent_.m;
  if (m == nullptr) return;
  sched::runtime_section section(self_);
  if (!rt().work.has_full()) m->share();  // for workers that have nothing left; the rest stays here
  place& at = g_pool.places[lent_.place];
  const std::size_t scanned = m->bytes_scanned - scanned_before_;
  at.scanned += scanned;
  if (whom_ == for_whom::all) at.credit += scanned;
  if (at.scanned >= k_publish_bytes) publish(at);
  forget_vectors();  // to hand over is to mark, too
  give_marker(lent_);
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

void begin_cycle() noexcept {
  with_each([](place& at, marker& m) {
    m.bytes_marked = m.objects_marked = m.bytes_scanned = 0;
    at.scanned = at.credit = 0;
  });
}

void close_door() noexcept {
  rt().mark.door_open.store(false, std::memory_order_seq_cst);
  heap::maybe_delay("guest.close");
  with_each([](place& at, marker&) { publish(at); });
}

bool collect_left() noexcept {
  bool any = false;
  with_each([&any](place& at, marker& m) {
    if (!m.has_work()) return;
    any = true;
    finish_left(at, m);
  });
  g_pool.with_work.store(0, std::memory_order_relaxed);
  return any;
}

std::size_t bytes_marked() noexcept {
  std::size_t bytes = 0;
  with_each([&bytes](place&, marker& m) { bytes += m.bytes_marked; });
  return bytes;
}

// What a marker needs to sort is taken here, some 30 us of page faults: a slice takes 2.
void prepare() {
  const auto wanted = static_cast<unsigned>(sched::procs() < 64 ? sched::procs() : 64);
  for (unsigned n = g_pool.made.load(std::memory_order_relaxed); n < wanted; ++n) {
    auto* m = new (std::nothrow) marker(rt().work);
    if (m == nullptr) break;  // fewer assist at a time
    give_back(g_pool.places[n], m);
    g_pool.made.store(n + 1, std::memory_order_relaxed);
  }
  if (rt().work.regions().may_sort()) with_each([](place&, marker& m) { m.prepare_to_sort(); });
}

}  // namespace guests
}  // namespace cairn::gc
