// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Assists: a thread that allocates faster than the workers mark does some of the marking itself, so that the heap does
// not grow past its goal.
//
// Each thread has a credit in bytes. Memory taken while a cycle marks is subtracted from it; who is below zero
// marks before it takes more, `work_per_byte` bytes of scanning for each byte it owes. First it takes over what
// the workers have done beyond anybody's assists. Then it marks itself, for k_quantum_ns at most, in pieces of 32
// objects, each in a runtime section of its own, so that a handshake waits for one of them at most. What is left of
// the debt it carries.
//
// What one refill costs is bounded so; that the heap does not outgrow its goal all the same comes from the other end:
// a thread that could not pay within a quantum gets half as much memory at the next refill, down to k_least_run_bytes,
// and one that could twice as much. So a thread that allocates at full speed beside a large heap is interrupted often,
// and each time for about a quantum, instead of seldom and for long.
//
// Past the goal a thread that finds nothing to mark, because all grey objects are in others' hands, waits for
// them, but no longer than until k_most_ns are over. Runs of large objects cannot be shortened: who
// wants one waits without a bound when the heap is a quarter over the goal.
//
// The CPU limiter (gc/pacer.h) turns assists off, and what is allocated meanwhile is not charged: then a program that
// would do nothing but mark grows instead.
//
// The door. Marking has ended when nobody has a grey object in hand (gc/concurrent.h). An assist raises `assisting`
// before it looks whether the door is open; the cycle closes the door before it looks whether anybody is inside: both
// sequentially consistent, so one sees the other. Behind the closed door the cycle collects what assists have left.
#include <algorithm>
#include <new>

#include "gc/cycle.h"
#include "gc/runtime.h"
#include "heap/delay.h"
#include "heap/pause.h"
#include "heap/private.h"
#include "sched/handshake.h"
#include "sched/hooks.h"
#include "sched/park.h"
#include "sched/preempt.h"

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

constexpr std::uint64_t k_quantum_ns = 10'000;
constexpr std::size_t k_piece_objects = 32, k_piece_bytes = 4 << 10;
constexpr std::size_t k_least_run_bytes = 512;
constexpr std::uint64_t k_most_ns = 18'000;
constexpr std::int64_t k_sleep_ns = 20'000;
constexpr std::size_t k_large_bytes = 32 << 10;

// Markers for assists, as many as can run at a time, each with a place of its own: there when it is free, null while a
// thread has it. Without a lock, whose holder the kernel may have taken off its processor. They keep the grey objects
// that an assist leaves behind, for the next one: handing them to the pool and taking others from it at each assist
// costs some ten turns at the pool.
struct marker_pool {
  std::atomic<marker*> places[64] = {};
  std::atomic<unsigned> made{0};  // Places in use, the first ones. Written under the cycle lock.
  // Of the free ones; too many for a moment, never too few: raised before the marker is back, lowered after it was
  // taken. Read as a hint by who looks for work.
  std::atomic<unsigned> with_work{0};
};
CAIRN_PRIVATE constinit marker_pool g_pool;

// A free marker and its place.
struct lent_marker {
  marker* m = nullptr;
  unsigned place = 0;
};

// One with work, if there is any; another one, if `any_will_do`.
lent_marker try_take_marker(bool any_will_do) noexcept {
  for (unsigned i = 0, n = g_pool.made.load(std::memory_order_relaxed); i < n; ++i) {
    if (g_pool.places[i].load(std::memory_order_relaxed) == nullptr) continue;
    // Acquire: pairs with give_marker.
    marker* m = g_pool.places[i].exchange(nullptr, std::memory_order_acquire);
    if (m == nullptr) continue;
    if (m->has_work()) {
      g_pool.with_work.fetch_sub(1, std::memory_order_relaxed);
      return {m, i};
    }
    if (any_will_do) return {m, i};
    heap::maybe_delay("assist.put_back");
    g_pool.places[i].store(m, std::memory_order_release);
  }
  return {};
}

lent_marker take_marker() noexcept {
  if (g_pool.with_work.load(std::memory_order_relaxed) != 0) {
    if (const lent_marker with_work = try_take_marker(false); with_work.m != nullptr) return with_work;
  }
  return try_take_marker(true);
}

// Nobody else writes to the place: it is null for as long as its marker is away.
void give_marker(lent_marker back) noexcept {
  if (back.m->has_work()) g_pool.with_work.fetch_add(1, std::memory_order_relaxed);
  heap::maybe_delay("assist.give");
  g_pool.places[back.place].store(back.m, std::memory_order_release);
}

bool any_work() noexcept {
  return g_pool.with_work.load(std::memory_order_relaxed) != 0 || rt().work.has_full();
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

// Inside the door, with a marker, for as long as the door stays open.
class assist {
 public:
  explicit assist(sched::m& self) noexcept : self_(self) {
    sched::runtime_section section(self_);
    rt().mark.assisting.fetch_add(1, std::memory_order_seq_cst);
    if (!any_work()) rt().work.ask();
    else if (is_open()) lent_ = take_marker();
    marker* const m = lent_.m;
    if (m != nullptr) m->bytes_marked = m->objects_marked = m->bytes_scanned = 0;
  }
  ~assist() {
    sched::runtime_section section(self_);
    marking& mark = rt().mark;
    if (marker* const m = lent_.m) {
      if (!rt().work.has_full()) m->try_flush();  // for workers that have nothing left; the rest stays here
      mark.assist_marked.fetch_add(m->bytes_marked, std::memory_order_relaxed);
      mark.scanned.fetch_add(m->bytes_scanned, std::memory_order_relaxed);
      give_marker(lent_);
    }
    mark.assisting.fetch_sub(1, std::memory_order_seq_cst);  // with the cycle's look at it
  }
  assist(const assist&) = delete;
  assist& operator=(const assist&) = delete;

  // Bytes scanned, 0 when nothing is left to do here.
  std::size_t piece() noexcept {
    marker* const m = lent_.m;
    if (m == nullptr || !is_open()) return 0;
    sched::runtime_section section(self_);
    const std::size_t before = m->bytes_scanned;
    const bool more = m->drain_beside(k_piece_objects, k_piece_bytes);
    const std::size_t scanned = m->bytes_scanned - before;
    return scanned == 0 && more ? 1 : scanned;
  }

 private:
  static bool is_open() noexcept { return rt().mark.assists_open.load(std::memory_order_seq_cst); }

  sched::m& self_;
  const sched::no_freeze awake_;  // the cycle spins until the last one is out of the door
  lent_marker lent_;
};

bool is_far_past_goal() noexcept {
  const std::size_t limit = overshoot_limit();
  return limit != k_no_goal && rt().pace.live.load(std::memory_order_relaxed) > limit + limit / 4;
}

bool is_past_goal() noexcept { return rt().pace.live.load(std::memory_order_relaxed) > overshoot_limit(); }

void credit(sched::m& self, std::size_t work) noexcept {
  self.assist_credit += static_cast<std::ptrdiff_t>(static_cast<double>(work) *
                                                    rt().mark.bytes_per_work.load(std::memory_order_relaxed));
}

bool owes(const sched::m& self) noexcept {
  return self.assist_credit < 0 && rt().mark.current() == phase::mark;
}

// Takes over what others did, and marks, until the debt is paid, the time is up, or nothing is left. True if the last
// is not so.
bool pay_until(sched::m& self, std::uint64_t until) noexcept {
  const double per_byte = rt().mark.work_per_byte.load(std::memory_order_relaxed);
  const auto debt = static_cast<std::ptrdiff_t>(static_cast<double>(-self.assist_credit) * per_byte) + 1;
  credit(self, static_cast<std::size_t>(take_credit(debt)));
  if (!owes(self)) return true;
  assist a(self);
  while (const std::size_t work = a.piece()) {
    credit(self, work);
    if (self.assist_credit >= 0 || now_ns() >= until) return true;
  }
  return false;
}

// Others have grey objects in hand, and share them when asked. Not asleep: when the processors are busy a thread that
// wakes waits for the end of somebody's slice, some milliseconds.
void spin_for_work(std::uint64_t until) noexcept {
  rt().work.ask();
  while (!any_work() && now_ns() < until)
    for (int i = 0; i < 8; ++i) heap::cpu_relax();
}

// In the safe state, so that the processor is there for who has the work.
void sleep_for_others(sched::m& self) {
  std::atomic<std::uint32_t> never{0};
  sched::in_safe_state(self, [&] { sched::futex_wait(never, 0, sched::now_ns() + k_sleep_ns); });
}

[[gnu::noinline, gnu::cold]] void pay_slow(sched::m& self, std::size_t wanted) {
  marking& mark = rt().mark;
  const sched::stopwatch watch;
  std::uint64_t counted = watch.began();
  // As it goes: the cycle may end, and be reckoned up, while this thread waits.
  auto count_time = [&] {
    const std::uint64_t now = now_ns();
    mark.assist_ns.fetch_add(now - counted, std::memory_order_relaxed);
    counted = now;
  };
  if (!pay_until(self, counted + k_quantum_ns) && owes(self) && is_past_goal()) {
    spin_for_work(watch.began() + k_most_ns);
    pay_until(self, watch.began() + k_most_ns);
  }
  count_time();
  while (wanted > k_large_bytes && owes(self) && is_far_past_goal()) {
    if (!pay_until(self, counted + k_quantum_ns)) sleep_for_others(self);
    count_time();
  }
  self.most_run_bytes = owes(self) ? std::max(self.most_run_bytes / 2, k_least_run_bytes)
                                   : std::min(self.most_run_bytes * 2, heap::k_most_run_bytes);
  rt().count.note(pause_kind::assist, watch.stop());
}

}  // namespace

// Where the system has no memory to hand over the rest it is marked here, a piece at a time.
void finish_left(marker& m) noexcept {
  marking& mark = rt().mark;
  m.bytes_marked = m.objects_marked = m.bytes_scanned = 0;
  for (bool more = true; more;) {
    sched::runtime_section section;
    more = !m.try_flush() && m.drain_beside(k_piece_objects, k_piece_bytes);
  }
  mark.assist_marked.fetch_add(m.bytes_marked, std::memory_order_relaxed);
  mark.scanned.fetch_add(m.bytes_scanned, std::memory_order_relaxed);
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

void pay(sched::m& self, std::size_t wanted) {
  if (owes(self) && !rt().is_limiting.load(std::memory_order_relaxed)) [[unlikely]]
    pay_slow(self, wanted);
}

void charge(sched::m& self, std::size_t bytes) noexcept {
  // Not while the limiter has assists turned off: a debt of megabytes would be called in when it turns them on.
  if (rt().mark.current() == phase::mark && !rt().is_limiting.load(std::memory_order_relaxed))
    self.assist_credit -= static_cast<std::ptrdiff_t>(bytes);
}

}  // namespace assists
}  // namespace cairn::gc
