// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/line.h"

#include <utility>

#include "cairn/detail/assert.h"
#include "heap/delay.h"
#include "heap/private.h"
#include "sched/futex.h"
#include "sched/handshake.h"
#include "sched/proc.h"

namespace cairn::sched {
namespace {

constexpr unsigned k_halls = 1024;
// Private: from the program's data nothing leads to whom it finds here.
constinit hall halls[k_halls];
const heap::private_table halls_are_private(halls);

void unlock_hall(void* arg) noexcept CAIRN_NO_THREAD_SAFETY_ANALYSIS {
  static_cast<place*>(arg)->home.lock.unlock();
}

// Takes it out, with the lock of its hall. Who waits behind it may be let in now.
wake_up take_out(place& w) noexcept CAIRN_REQUIRES(w.home.lock) {
  w.home.remove(w);
  place* heir = w.heir != nullptr ? w.heir(w.home, w.address) : nullptr;
  return heir != nullptr ? call(*heir) : wake_up{};
}

// Does not wait for the lock, as cancel_case in sched/chan.cc.
bool cancel_place(goroutine&, void* arg) noexcept {
  auto& w = *static_cast<place*>(arg);
  if (!w.home.lock.try_lock()) return false;
  const bool waits = w.asleep;
  wake_up heir;
  if (waits) {
    w.asleep = false;
    heir = take_out(w);
  }
  w.home.lock.unlock();
  heir.deliver();
  return waits;
}

bool awaits_turn(const goroutine& g, void (*f)(void*, const void*), void* arg) {
  const auto& w = *static_cast<const place*>(g.cancel_arg);
  if (!w.asleep) return false;
  f(arg, w.address);
  return true;
}

void sleep_as_thread(place& w) {
  in_safe_state(*current(), [&w] {
    while (w.woken.load(std::memory_order_acquire) == 0) futex_wait(w.woken, 0);
  });
}

// With the lock, in the only section; without both on return.
void sleep_unlocked(place& w) CAIRN_NO_THREAD_SAFETY_ANALYSIS {
  w.asleep = true;
  w.sleeper = parkable();
  if (w.sleeper != nullptr) {
    park({w.why, unlock_hall, cancel_place, &w, awaits_turn, w.is_durable});
  } else {
    w.woken.store(0, std::memory_order_relaxed);
    unlock_hall(&w);
    leave_section();
    sleep_as_thread(w);
  }
}

}  // namespace

place* first_of_line(hall& h, const void* address) noexcept CAIRN_NO_THREAD_SAFETY_ANALYSIS {
  return h.first_at(address);
}

place::place(const void* at, wait_reason reason, heir_of who) noexcept
    : place(at, hall_of(at), reason, who) {}

place::place(const void* at, hall& in, wait_reason reason, heir_of who) noexcept
    : address(at), home(in), owner(parkable()), why(reason), heir(who) {
  if (owner == nullptr) return;
  tie = [](loose_end& end) noexcept { give_up(static_cast<place&>(end)); };
  next_end = owner->loose_ends;
  owner->loose_ends = this;
}

place::~place() {
  if (owner != nullptr) owner->loose_ends = next_end;
}

void wake_up::deliver() const noexcept {
  heap::maybe_delay("sched.call");
  if (g != nullptr) {
    ready(g);
  } else if (word != nullptr) {
    word->store(1, std::memory_order_release);  // from here on the place may be gone
    futex_wake(*word, 1);
  }
}

line_links links_on_stack(const goroutine& g) noexcept {
  if (g.awaited != awaits_turn) return {};
  const auto& w = *static_cast<const place*>(g.cancel_arg);
  static_assert(sizeof(place) % alignof(void*) == 0);
  return {&w.next, &w.next_line + 1};
}

hall& hall_of(const void* address) noexcept {
  static_assert(k_halls == 1u << (64 - 54));
  return halls[(reinterpret_cast<std::uintptr_t>(address) * 0x9e3779b97f4a7c15u) >> 54];
}

// Where the first one of the line is held, or null is.
place** hall::line_at(const void* address) noexcept {
  place** at = &lines;
  while (*at != nullptr && (*at)->address != address) at = &(*at)->next_line;
  return at;
}

place* hall::first_at(const void* address) noexcept { return *line_at(address); }

void hall::append(place& w) noexcept {
  place** line = line_at(w.address);
  w.queued = true;
  w.earlier = std::exchange(latest[n_appended++ % k_latest], ~reinterpret_cast<std::uintptr_t>(&w));
  if (place* first = *line) {
    w.next = first;
    w.previous = first->previous;
    first->previous->next = &w;
    first->previous = &w;
    return;
  }
  w.next = w.previous = &w;
  w.next_line = nullptr;
  *line = &w;
}

void hall::remove(place& w) noexcept {
  place** line = line_at(w.address);
  if (*line == &w) {
    place* heir = w.next != &w ? w.next : w.next_line;
    if (w.next != &w) heir->next_line = w.next_line;
    *line = heir;
  }
  w.next->previous = w.previous;
  w.previous->next = w.next;
  w.queued = false;
}

place* hall::detach(const void* address) noexcept {
  place** line = line_at(address);
  place* first = *line;
  if (first != nullptr) *line = first->next_line;
  return first;
}

namespace {

// Takes a place out of its ring for good; its links are not looked at any more. Null, unless a goroutine sleeps there:
// that is the caller's now, as is its `next`, until it is made runnable.
goroutine* admit(place& w, chain& sleepers) noexcept {
  w.queued = false;
  if (!w.asleep) return nullptr;
  w.asleep = false;
  if (w.sleeper != nullptr) return w.sleeper;
  w.next = sleepers.threads;
  sleepers.threads = &w;
  return nullptr;
}

// All of a ring, from its back: each place tells which came some before it, so that several are on their way from
// memory at once. By the links alone the next one is known only when this one has come.
chain admit_all(place* front) noexcept {
  chain sleepers;
  for (place* w = front->previous;;) {
    place* const before = w->previous;
    if (w->earlier != 0 && w != front) {
      const auto* early = reinterpret_cast<const place*>(~w->earlier);
      __builtin_prefetch(&early->queued, 1);
      __builtin_prefetch(&early->next_line, 1);
    }
    if (goroutine* g = admit(*w, sleepers)) {
      g->next = sleepers.first;
      sleepers.first = g;
      if (sleepers.last == nullptr) sleepers.last = g;
    }
    if (w == front) break;
    w = before;
  }
  return sleepers;
}

}  // namespace

chain let_in(hall& h, const void* address, bool all) noexcept CAIRN_NO_THREAD_SAFETY_ANALYSIS {
  place* first = all ? h.detach(address) : h.first_at(address);
  if (first == nullptr) return {};
  if (!all) {
    h.remove(*first);
    first->next = first->previous = first;
  }
  return admit_all(first);
}

void chain::wake() const noexcept {
  for (goroutine* g = first; g != nullptr;) {
    goroutine* following = g->next;
    wake_up{g, nullptr}.deliver();
    g = following;
  }
  for (place* w = threads; w != nullptr;) {
    const wake_up one{nullptr, &w->woken};
    w = w->next;
    one.deliver();
  }
}

wake_up call(place& w) noexcept {
  if (!w.asleep) return {};
  w.asleep = false;
  return {w.sleeper, w.sleeper != nullptr ? nullptr : &w.woken};
}

void sleep_in_line(place& w) CAIRN_NO_THREAD_SAFETY_ANALYSIS {
  sleep_unlocked(w);
  enter_section();
  w.home.lock.lock();
}

void sleep_until_let_in(place& w) CAIRN_NO_THREAD_SAFETY_ANALYSIS {
  sleep_unlocked(w);
  CAIRN_ASSERT(!w.queued, "who waits to be let in was woken in line");
}

void give_up(place& w) noexcept {
  wake_up heir;
  {
    heap::lock_guard held(w.home.lock);
    if (w.queued) heir = take_out(w);
  }
  heir.deliver();
}

}  // namespace cairn::sched
