// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Select: one of several communications. The protocol is in sched/chan.h.
//
// First each case that looks ready is tried, in random order, with the lock of its channel alone: the first one that
// is ready is uniformly distributed among those that are. Only if none is are all channels locked, in the order of
// their addresses, looked at once more, and waited at.
//
// Leaving. The stack with the cases may be in use again as soon as somebody has claimed the select, which can happen
// when the first of its channels is unlocked after the switch. Its owner takes the places that have lost out of their
// channels, one lock after the other, before it returns; so it waits for the locks that have yet to be released, and
// whoever releases them reads nothing of the cases after the last one.
#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>

#include "cairn/detail/channel.h"
#include "cairn/sync.h"
#include "heap/delay.h"
#include "sched/chan.h"
#include "sched/proc.h"
#include "sched/scheduler.h"

namespace cairn::sched {
namespace {

using detail::selected;
using cases_of = std::span<chan_case>;

chan_queue& queue_of(chan_case& k) noexcept { return k.is_send ? k.channel->senders : k.channel->receivers; }

bool may_go_on(const chan_case& k) noexcept {
  return k.is_send ? may_be_sent_to(*k.channel) : may_be_received_from(*k.channel);
}

chan_status attempt(chan_case& k, chan_wait*& peer) noexcept {
  return k.is_send ? put(*k.channel, k.slot, peer) : take(*k.channel, k.slot, peer);
}

// Of the worker's P, or of all threads that have none. In a section.
std::uint64_t random_bits() noexcept {
  m& self = *current();
  // Else there may be no scheduler yet, which own_p asks about.
  p* pp = self.is_worker ? own_p(self) : nullptr;
  if (pp != nullptr) return next_random(*pp);
  static std::atomic<std::uint64_t> counter{0};  // relaxed: any number will do
  std::uint64_t x = counter.fetch_add(0x9e3779b97f4a7c15u, std::memory_order_relaxed);
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return x ^ x >> 31;
}

// cases[0 .. live).poll becomes a random order of the cases that have a channel. (Fisher and Yates, inside out.)
// `in_bubble` becomes something other than 0 if one of them belongs to a bubble.
std::size_t shuffle(cases_of cases, std::uint32_t& in_bubble) noexcept {
  std::uint64_t random = random_bits() | 1;
  std::size_t live = 0;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    if (cases[i].channel == nullptr) continue;
    in_bubble |= cases[i].channel->bubble;
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    const std::size_t j = (random >> 32) * (live + 1) >> 32;
    cases[live].poll = cases[j].poll;
    cases[j].poll = static_cast<std::uint32_t>(i);
    ++live;
  }
  return live;
}

[[gnu::cold]] void check_bubbles(cases_of cases) {
  const std::uint32_t own = detail::own_bubble_id();
  for (const chan_case& k : cases)
    if (k.channel != nullptr && k.channel->bubble != 0 && k.channel->bubble != own)
      throw std::logic_error("select on synctest channel from outside bubble");
}

// The outcome of a first attempt.
struct glance {
  selected result;
  bool none_was_ready;  // at one moment
};

// After each was looked at. True: at one moment from the fence on none was ready. See sched/chan.h.
bool none_is_ready(cases_of cases, std::size_t live) noexcept {
  heap::maybe_delay("select.glance");
  fence_before_look();
  if (live == 1) return !may_go_on(cases[cases[0].poll]);
  for (std::size_t i = 0; i < live; ++i) {
    const chan_case& k = cases[cases[i].poll];
    if (k.channel->lock.version() != k.version) return false;
  }
  return true;
}

// Tries those that look ready, each for itself. In a section.
glance try_each(cases_of cases, std::size_t live, bool has_default) noexcept {
  bool stood_still = true;
  for (std::size_t i = 0; i < live; ++i) {
    const std::size_t at = cases[i].poll;
    chan_case& k = cases[at];
    k.version = k.channel->lock.version();
    stood_still = stood_still && (k.version & 1) == 0;
    if (!may_go_on(k)) continue;
    chan_wait* peer = nullptr;
    k.channel->lock.lock(current());
    const chan_status status = attempt(k, peer);
    k.channel->lock.unlock();
    if (peer != nullptr) wake(*peer);
    if (status != chan_status::blocked) return {{at, status}, false};
    stood_still = false;
  }
  const bool none_was_ready = live == 0 ||
                              (has_default && (stood_still || live == 1) && none_is_ready(cases, live));
  return {{cases.size(), chan_status::blocked}, none_was_ready};
}

// cases[0 .. live).lock_rank becomes the order of their channels' addresses. At depth 0.
void rank(cases_of cases, std::size_t live) noexcept {
  const auto before = [&cases](std::uint32_t a, std::uint32_t b) {
    return reinterpret_cast<std::uintptr_t>(cases[a].channel) <
           reinterpret_cast<std::uintptr_t>(cases[b].channel);
  };
  // A heap of the indices: sorted in place, without memory.
  const auto at = [&cases](std::size_t i) -> std::uint32_t& { return cases[i].lock_rank; };
  for (std::size_t i = 0; i < live; ++i) at(i) = cases[i].poll;
  if (live <= 16) {
    for (std::size_t i = 1; i < live; ++i)
      for (std::size_t k = i; k > 0 && before(at(k), at(k - 1)); --k) std::swap(at(k), at(k - 1));
    return;
  }
  const auto sink = [&](std::size_t root, std::size_t n) {
    for (std::size_t child = 2 * root + 1; child < n; child = 2 * root + 1) {
      if (child + 1 < n && before(at(child), at(child + 1))) ++child;
      if (!before(at(root), at(child))) return;
      std::swap(at(root), at(child));
      root = child;
    }
  };
  for (std::size_t i = live / 2; i-- > 0;) sink(i, live);
  for (std::size_t n = live - 1; n > 0; --n) {
    std::swap(at(0), at(n));
    sink(0, n);
  }
}

void lock_all(cases_of cases, std::size_t live) noexcept {
  const detail::chan_core* before = nullptr;
  for (std::size_t i = 0; i < live; ++i) {
    detail::chan_core* c = cases[cases[i].lock_rank].channel;
    if (c != before) c->lock.lock(current());
    before = c;
  }
}

void unlock_all(cases_of cases, std::size_t live) noexcept {
  detail::chan_core* c = cases[cases[live - 1].lock_rank].channel;
  for (std::size_t i = live - 1; c != nullptr; --i) {
    detail::chan_core* next = i > 0 ? cases[cases[i - 1].lock_rank].channel : nullptr;
    const bool last_of_it = next != c;
    if (last_of_it) {
      heap::maybe_delay("select.unlock");
      c->lock.unlock();  // of the last channel: from here on the cases may be gone
    }
    c = next;
  }
}

struct select_wait : chan_wait {
  std::size_t live = 0;
};

void commit_select(void* arg) noexcept {
  auto& w = *static_cast<select_wait*>(arg);
  unlock_all({w.cases, w.n}, w.live);
}

// Takes out what is still in a queue. The select has been claimed, so nobody else puts anything in its cases.
void leave_queues(chan_wait& w) noexcept {
  for (chan_case& k : cases_of(w.cases, w.n)) {
    if (k.channel == nullptr || &k == w.taken) continue;
    k.channel->lock.lock(current());
    if (k.queued) queue_of(k).remove(k);
    k.channel->lock.unlock();
  }
}

bool cancel_select(goroutine&, void* arg) noexcept {
  auto& w = *static_cast<select_wait*>(arg);
  bool is_claimed = false;
  // As in claim_first.
  if (!w.claimed.compare_exchange_strong(is_claimed, true, std::memory_order_acq_rel,
                                         std::memory_order_relaxed))
    return false;
  leave_queues(w);
  return true;
}

bool awaits_cases(const goroutine& g, void (*f)(void*, const void*), void* arg) {
  const auto& w = *static_cast<const select_wait*>(g.cancel_arg);
  if (w.claimed.load(std::memory_order_acquire)) return false;
  for (const chan_case& k : cases_of(w.cases, w.n))
    if (k.channel != nullptr) f(arg, k.channel);
  return true;
}

// Of a goroutine that is dropped after it was claimed, and before it ran.
void tie_select(loose_end& end) noexcept {
  auto& w = static_cast<select_wait&>(end);
  leave_queues(w);
  if (w.taken != nullptr && w.taken->is_send && w.taken->is_promise)
    break_promise(**static_cast<detail::chan_box* const*>(w.taken->slot));
}

// With all locks, in the only section; all are over on return.
selected wait_for_one(cases_of cases, std::size_t live) {
  select_wait w;
  w.g = parkable();
  w.is_select = true;
  w.cases = cases.data();
  w.n = cases.size();
  w.live = live;
  for (std::size_t i = 0; i < live; ++i) {
    chan_case& k = cases[cases[i].lock_rank];
    k.wait = &w;
    queue_of(k).append(k);
  }
  bool is_durable = true;
  for (std::size_t i = 0; i < live; ++i)
    is_durable = is_durable && cases[cases[i].lock_rank].channel->bubble != 0;
  if (goroutine* g = w.g) {
    w.tie = tie_select;
    w.next_end = g->loose_ends;
    g->loose_ends = &w;
    park({wait_reason::select, commit_select, cancel_select, &w, awaits_cases, is_durable});
    enter_section();
    leave_queues(w);
    g->loose_ends = w.next_end;
    leave_section();
  } else {
    commit_select(&w);
    leave_section();
    sleep_as_thread(w);
    runtime_section section;
    leave_queues(w);
  }
  return {static_cast<std::size_t>(w.taken - cases.data()),
          w.closed ? chan_status::closed : chan_status::done};
}

// None was ready when each was looked at.
selected look_at_all(cases_of cases, std::size_t live, bool has_default) {
  rank(cases, live);
  enter_section();
  lock_all(cases, live);
  selected result{cases.size(), chan_status::blocked};
  chan_wait* peer = nullptr;
  for (std::size_t i = 0; i < live && result.status == chan_status::blocked; ++i) {
    const std::size_t at = cases[i].poll;
    const chan_status status = attempt(cases[at], peer);
    if (status != chan_status::blocked) result = {at, status};
  }
  if (result.status == chan_status::blocked && !has_default) return wait_for_one(cases, live);
  unlock_all(cases, live);
  if (peer != nullptr) wake(*peer);
  leave_section();
  return result;
}

}  // namespace
}  // namespace cairn::sched

namespace cairn::detail {

selected select_cases(chan_case* first, std::size_t n, bool has_default) {
  using namespace sched;
  if (!has_short_way()) [[unlikely]] {
    take_long_way();
  }
  const std::span<chan_case> cases(first, n);
  std::size_t live = 0;
  std::uint32_t in_bubble = 0;
  glance seen{};
  {
    runtime_section section;
    live = shuffle(cases, in_bubble);
    if (in_bubble == 0) [[likely]]
      seen = try_each(cases, live, has_default);
  }
  if (in_bubble != 0) [[unlikely]] {
    check_bubbles(cases);
    runtime_section section;
    seen = try_each(cases, live, has_default);
  }
  if (seen.result.status != chan_status::blocked) return seen.result;
  if (has_default && seen.none_was_ready) return seen.result;
  if (live == 0) block_for_ever(n == 0 ? wait_reason::select_no_cases : wait_reason::select);
  return look_at_all(cases, live, has_default);
}

}  // namespace cairn::detail
