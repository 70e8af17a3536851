// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Assists: a thread that allocates faster than the workers mark does some of the marking itself, so that the heap does
// not grow past its goal.
//
// Each thread has a credit in bytes. Memory taken while a cycle marks is subtracted from it; who is below zero
// marks before it takes more, `work_per_byte` bytes of scanning for each byte it owes. First it takes over what
// the workers have done beyond anybody's assists. Then it marks itself, in quanta of at most 64 objects or 16
// KiB, each in a runtime section of its own, so that a handshake waits for one of them at most. What is left of
// the debt it carries. Only when the heap is past its goal does it go on, for k_most_ns, and if there is
// nothing to mark, because all grey objects are in others' hands, waits for them. In that time it marks ten
// times what it may allocate then, so the heap is over its goal by a few percent when marking ends. Where that
// does not hold, since the processors are busy with other things, the thread waits without a bound: at a
// quarter over the goal.
//
// The CPU limiter (gc/pacer.h) turns assists off: then a program that would do nothing but mark grows instead.
//
// The door. Marking has ended when nobody has a grey object in hand (gc/concurrent.h). An assist raises `assisting`
// before it looks whether the door is open; the cycle closes the door before it looks whether anybody is inside: both
// sequentially consistent, so one sees the other.
#include "gc/cycle.h"
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
constexpr std::int64_t k_wait_ns = 20'000;
constexpr std::uint64_t k_most_ns = 50'000;

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

// Inside the door, with a marker, for as long as the door stays open.
class assist {
 public:
  explicit assist(sched::m& self) noexcept : self_(self) {
    sched::runtime_section section(self_);
    rt().mark.assisting.fetch_add(1, std::memory_order_seq_cst);
    if (!rt().work.has_full()) rt().work.ask();
    else if (is_open()) marker_ = take_marker();
    if (marker_ != nullptr) marker_->bytes_marked = marker_->objects_marked = marker_->bytes_scanned = 0;
  }
  ~assist() {
    sched::runtime_section section(self_);
    marking& mark = rt().mark;
    if (marker_ != nullptr) {
      marker_->flush();
      mark.assist_marked.fetch_add(marker_->bytes_marked, std::memory_order_relaxed);
      mark.scanned.fetch_add(marker_->bytes_scanned, std::memory_order_relaxed);
      give_marker(marker_);
    }
    mark.assisting.fetch_sub(1, std::memory_order_seq_cst);  // with the cycle's look at it
  }
  assist(const assist&) = delete;
  assist& operator=(const assist&) = delete;

  // Bytes scanned, 0 when nothing is left to do here.
  std::size_t quantum() noexcept {
    if (marker_ == nullptr || !is_open()) return 0;
    sched::runtime_section section(self_);
    const std::size_t before = marker_->bytes_scanned;
    const bool more = marker_->drain_beside(k_quantum_objects, k_quantum_bytes);
    const std::size_t scanned = marker_->bytes_scanned - before;
    return scanned == 0 && more ? 1 : scanned;
  }

 private:
  static bool is_open() noexcept { return rt().mark.assists_open.load(std::memory_order_seq_cst); }

  sched::m& self_;
  marker* marker_ = nullptr;
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

// Marks until the debt is paid, the quantum is over (past the goal: the time), or nothing is left. True if anything was
// done.
bool mark_until(sched::m& self, std::uint64_t until) noexcept {
  assist a(self);
  bool any = false;
  while (const std::size_t work = a.quantum()) {
    any = true;
    credit(self, work);
    if (self.assist_credit >= 0 || !is_past_goal() || now_ns() >= until) break;
  }
  return any;
}

bool owes(const sched::m& self) noexcept {
  return self.assist_credit < 0 && rt().mark.current() == phase::mark;
}

[[gnu::noinline, gnu::cold]] void pay_slow(sched::m& self) {
  marking& mark = rt().mark;
  std::uint64_t began = now_ns();
  const std::uint64_t first = began;
  do {
    const double per_byte = mark.work_per_byte.load(std::memory_order_relaxed);
    const auto debt = static_cast<std::ptrdiff_t>(static_cast<double>(-self.assist_credit) * per_byte) + 1;
    credit(self, static_cast<std::size_t>(take_credit(debt)));
    if (owes(self) && !mark_until(self, began + k_most_ns) && is_past_goal()) {
      std::atomic<std::uint32_t> never{0};
      sched::in_safe_state(self, [&] { sched::futex_wait(never, 0, sched::now_ns() + k_wait_ns); });
    }
    // Added as it goes: the cycle may end, and be reckoned up, while this thread waits.
    const std::uint64_t now = now_ns();
    mark.assist_ns.fetch_add(now - began, std::memory_order_relaxed);
    began = now;
  } while (owes(self) && is_past_goal() && (began - first < k_most_ns || is_far_past_goal()));
  rt().count.note(pause_kind::assist, began - first);
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
  if (owes(self) && !rt().is_limiting.load(std::memory_order_relaxed)) [[unlikely]]
    pay_slow(self);
}

void charge(sched::m& self, std::size_t bytes) noexcept {
  if (rt().mark.current() == phase::mark) self.assist_credit -= static_cast<std::ptrdiff_t>(bytes);
}

}  // namespace assists
}  // namespace cairn::gc
