// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Sending, receiving and closing. The protocol is in sched/chan.h.
#include "sched/chan.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <limits>
#include <new>
#include <stdexcept>
#include <string>

#include "cairn/chan.h"
#include "cairn/sync.h"
#include "heap/delay.h"
#include "heap/pause.h"
#include "sched/bubble.h"
#include "sched/futex.h"
#include "sched/handshake.h"
#include "sched/proc.h"

namespace cairn::sched {
namespace {

// As words where the collector looks at them; see sched/chan.h.
[[gnu::noinline]] void copy_scanned(void* to, const void* from, std::size_t bytes) noexcept {
  auto* words = static_cast<std::uintptr_t*>(to);
  const auto* source = static_cast<const std::uintptr_t*>(from);
  for (std::size_t i = 0; i < bytes / sizeof *words; ++i)
    __atomic_store_n(&words[i], __atomic_load_n(&source[i], __ATOMIC_RELAXED), __ATOMIC_RELAXED);
  if (detail::stores_are_watched()) [[unlikely]]
    detail::bulk_barrier_slow(to, bytes);
}

[[gnu::always_inline]] inline void copy_element(const chan_core& c, void* to, const void* from) noexcept {
  const std::size_t bytes = c.element_bytes;
  if (!c.noscan) return copy_scanned(to, from, bytes);
  if (bytes == 8) std::memcpy(to, from, 8);  // of a known size it needs no call
  else if (bytes == 4) std::memcpy(to, from, 4);
  else if (bytes != 0) std::memcpy(to, from, bytes);
}

// What was copied from it has been shaded.
void clear_element(const chan_core& c, void* at) noexcept {
  if (c.noscan) return;
  auto* words = static_cast<std::uintptr_t*>(at);
  for (std::size_t i = 0; i < c.element_bytes / sizeof *words; ++i)
    __atomic_store_n(&words[i], std::uintptr_t{0}, __ATOMIC_RELAXED);
}

[[gnu::always_inline]] inline void push(chan_core& c, const void* element) noexcept {
  copy_element(c, c.element(c.free), element);
  if (++c.free == c.capacity) c.free = 0;
  c.count.store(c.count.load(std::memory_order_relaxed) + 1, std::memory_order_release);
}

[[gnu::always_inline]] inline void pop(chan_core& c, void* slot) noexcept {
  char* const at = c.element(c.oldest);
  copy_element(c, slot, at);
  clear_element(c, at);
  if (++c.oldest == c.capacity) c.oldest = 0;
  c.count.store(c.count.load(std::memory_order_relaxed) - 1, std::memory_order_release);
}

// The claimed place's owner goes on with this outcome.
chan_wait* settle(chan_case& k, bool closed) noexcept {
  chan_wait& w = *k.wait;
  w.closed = closed;
  w.taken = &k;
  return &w;
}

void unlock_channel(void* arg) noexcept { static_cast<chan_case*>(arg)->channel->lock.unlock(); }

chan_queue& queue_of(chan_case& k) noexcept { return k.is_send ? k.channel->senders : k.channel->receivers; }

// Does not wait for the lock: who has it may be on its way to the next goroutine, and wait for just this one to
// be let go by the one who calls this (scan_before_run), for it may have been woken a moment ago. Then the next
// round finds it.
bool cancel_case(goroutine&, void* arg) noexcept {
  auto& k = *static_cast<chan_case*>(arg);
  if (!k.channel->lock.try_lock(current())) return false;
  const bool waits = k.queued;
  if (waits) queue_of(k).remove(k);
  k.channel->lock.unlock();
  return waits;
}

bool awaits_channel(const goroutine& g, void (*f)(void*, const void*), void* arg) {
  const auto& k = *static_cast<const chan_case*>(g.cancel_arg);
  if (!k.queued) return false;
  f(arg, k.channel);
  return true;
}

// With the channel's lock, in the only section; both are over on return.
chan_status wait_for(chan_core& c, void* slot, bool is_send) {
  chan_wait w;
  w.g = parkable();
  chan_case k;
  k.channel = &c;
  k.slot = slot;
  k.is_send = is_send;
  k.wait = &w;
  queue_of(k).append(k);
  if (w.g != nullptr) {
    park({is_send ? wait_reason::chan_send : wait_reason::chan_receive, unlock_channel, cancel_case, &k,
          awaits_channel, c.bubble != 0});
  } else {
    c.lock.unlock();
    leave_section();
    sleep_as_thread(w);
  }
  return w.closed ? chan_status::closed : chan_status::done;
}

[[gnu::cold, gnu::noinline]] m& attach_or_end() {
  take_long_way();
  return *current();
}
// A channel of a bubble is used in that bubble only.
[[gnu::cold, gnu::noinline]] void check_bubble_slow(const chan_core& c, const char* what) {
  if (c.bubble != detail::own_bubble_id())
    throw std::logic_error(std::string(what) + " synctest channel from outside bubble");
}
[[gnu::always_inline]] inline void check_bubble(const chan_core& c, const char* what) {
  if (c.bubble != 0) [[unlikely]]
    check_bubble_slow(c, what);
}

// What every call from outside begins with.
inline m& come_in() {
  if (!detail::has_short_way()) [[unlikely]]
    return attach_or_end();
  return static_cast<m&>(*detail::this_cache());
}

}  // namespace

// ---- queues --------------------------------------------------------------------------------------------------------

void chan_queue::append(chan_case& k) noexcept {
  k.queued = true;
  k.next = nullptr;
  k.previous = last;
  // Release: with who looks whether there is one.
  if (last != nullptr) last->next = &k;
  else first.store(&k, std::memory_order_release);
  last = &k;
}

void chan_queue::remove(chan_case& k) noexcept {
  k.queued = false;
  (k.next != nullptr ? k.next->previous : last) = k.previous;
  if (k.previous != nullptr) k.previous->next = k.next;
  else first.store(k.next, std::memory_order_release);
}

chan_case* chan_queue::claim_first() noexcept {
  while (chan_case* k = first.load(std::memory_order_relaxed)) {
    remove(*k);
    chan_wait& w = *k->wait;
    bool is_claimed = false;
    // Acquire and release: who loses has seen who won.
    if (!w.is_select || w.claimed.compare_exchange_strong(is_claimed, true, std::memory_order_acq_rel,
                                                          std::memory_order_relaxed))
      return k;
  }
  return nullptr;
}

// ---- one communication ---------------------------------------------------------------------------------------------

chan_status put(chan_core& c, const void* element, chan_wait*& peer) noexcept {
  if (c.closed.load(std::memory_order_relaxed)) return chan_status::closed;
  if (chan_case* k = c.receivers.claim_first()) {
    copy_element(c, k->slot, element);
    peer = settle(*k, false);
    return chan_status::done;
  }
  if (c.count.load(std::memory_order_relaxed) == c.capacity) return chan_status::blocked;
  push(c, element);
  return chan_status::done;
}

chan_status take(chan_core& c, void* slot, chan_wait*& peer) noexcept {
  const bool closed = c.closed.load(std::memory_order_relaxed);
  const bool from_ring = c.count.load(std::memory_order_relaxed) != 0;
  if (from_ring) pop(c, slot);
  else if (closed) return chan_status::closed;
  // Of a closed channel the senders that wait are those that the close has not come to yet.
  if (chan_case* k = closed ? nullptr : c.senders.claim_first()) {
    if (from_ring) push(c, k->slot);
    else copy_element(c, slot, k->slot);
    peer = settle(*k, false);
    return chan_status::done;
  }
  return from_ring ? chan_status::done : chan_status::blocked;
}

void wake(chan_wait& w) noexcept {
  heap::maybe_delay("chan.wake");
  if (w.g != nullptr) return ready(w.g);
  std::atomic<std::uint32_t>& word = w.woken;
  word.store(1, std::memory_order_release);  // from here on `w` may be gone
  futex_wake(word, 1);
}

void sleep_as_thread(chan_wait& w) {
  in_safe_state(*current(), [&w] {
    while (w.woken.load(std::memory_order_acquire) == 0) futex_wait(w.woken, 0);
  });
}

namespace {

constexpr parking on_nothing(wait_reason why) noexcept {
  return {why,
          [](void*) noexcept {},
          [](goroutine&, void*) noexcept { return true; },
          nullptr,
          [](const goroutine&, void (*)(void*, const void*), void*) { return true; },
          true};
}
// Not on the stack, which a run's end may give away before the commit has been called: cancelling always succeeds.
constexpr parking k_on_nothing[] = {
    on_nothing(wait_reason::chan_send_nil), on_nothing(wait_reason::chan_receive_nil),
    on_nothing(wait_reason::select_no_cases), on_nothing(wait_reason::select)};

}  // namespace

void block_for_ever(wait_reason why) {
  self();
  check_ending();
  if (parkable() == nullptr) {
    chan_wait nobody_wakes;
    for (;;) sleep_as_thread(nobody_wakes);
  }
  const auto* how = std::find_if(std::begin(k_on_nothing), std::end(k_on_nothing) - 1,
                                 [why](const parking& p) { return p.why == why; });
  for (;;) {
    enter_section();
    park(*how);
  }
}

bool offer(chan_core& c, const void* element) noexcept {
  if (!may_be_sent_to(c)) return false;
  runtime_section section;
  chan_wait* peer = nullptr;
  c.lock.lock(current());
  const chan_status status = put(c, element, peer);
  c.lock.unlock();
  if (peer != nullptr) wake(*peer);
  return status == chan_status::done;
}

bool withdraw(chan_core& c, void* slot) noexcept {
  if (has_none(c)) return false;
  runtime_section section;
  chan_wait* peer = nullptr;
  c.lock.lock(current());
  const chan_status status = take(c, slot, peer);
  c.lock.unlock();
  if (peer != nullptr) wake(*peer);
  return status == chan_status::done;
}

}  // namespace cairn::sched

namespace cairn::detail {

using namespace sched;

namespace {

// Up to n of those that wait at a channel that is closed now. False: nobody is left.
bool claim_some(chan_core& c, int n, chan_wait*& list) noexcept {
  chan_wait** end = &list;
  for (; n > 0; --n) {
    chan_case* k = c.receivers.claim_first();
    if (k == nullptr) k = c.senders.claim_first();
    if (k == nullptr) return false;
    *end = settle(*k, true);
    end = &(*end)->next_woken;
  }
  return true;
}

// With the lock, in the only section; both are over on return. With `Waits` it does not come back blocked.
template <bool IsSend, bool Waits>
[[gnu::noinline]] chan_status communicate_slow(chan_core& c, void* element) {
  chan_wait* peer = nullptr;
  const chan_status status = IsSend ? put(c, element, peer) : take(c, element, peer);
  if (Waits && status == chan_status::blocked) return wait_for(c, element, IsSend);
  c.lock.unlock();
  if (peer != nullptr) wake(*peer);
  leave_section();
  return status;
}

// In the short way nobody waits, and there is room, or an element.
template <bool IsSend, bool Waits>
[[gnu::always_inline]] inline chan_status communicate(m& self, chan_core& c, void* element) {
  enter_section(self);
  c.lock.lock(&self);
  const std::size_t count = c.count.load(std::memory_order_relaxed);
  if constexpr (IsSend) {
    if (count == c.capacity || !c.receivers.empty() || c.closed.load(std::memory_order_relaxed))
      return communicate_slow<IsSend, Waits>(c, element);
    push(c, element);
  } else {
    if (count == 0 || !c.senders.empty()) return communicate_slow<IsSend, Waits>(c, element);
    pop(c, element);
  }
  c.lock.unlock();
  leave_section(self);
  return chan_status::done;
}

}  // namespace

chan_core* make_chan_core(std::size_t capacity, std::size_t element_bytes, bool noscan) {
  constexpr auto k_most = static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max());
  if (capacity > (k_most - sizeof(chan_core)) / (element_bytes != 0 ? element_bytes : 1))
    throw std::length_error("make_chan: the capacity is too large");
  const std::size_t bytes = sizeof(chan_core) + capacity * element_bytes;
  void* memory = allocate_bytes(bytes, alignof(chan_core), {noscan ? 0 : ~std::uint64_t{0}, noscan}, false);
  return init_chan_core(memory, capacity, element_bytes, noscan);
}

chan_core* init_chan_core(void* memory, std::size_t capacity, std::size_t element_bytes, bool noscan) noexcept {
  auto* c = ::new (memory) chan_core;
  c->capacity = capacity;
  c->element_bytes = static_cast<std::uint32_t>(element_bytes);
  c->noscan = noscan;
  c->bubble = own_bubble_id();
  return c;
}

chan_status chan_send(chan_core* c, const void* element) {
  m& self = come_in();
  if (c == nullptr) [[unlikely]]
    block_for_ever(wait_reason::chan_send_nil);
  check_bubble(*c, "send on");
  return communicate<true, true>(self, *c, const_cast<void*>(element));  // which is only read
}

chan_status chan_recv(chan_core* c, void* slot) {
  m& self = come_in();
  if (c == nullptr) [[unlikely]]
    block_for_ever(wait_reason::chan_receive_nil);
  check_bubble(*c, "receive on");
  return communicate<false, true>(self, *c, slot);
}

bool chan_may_take(const chan_core* c) noexcept {
  return c != nullptr && (may_be_sent_to(*c) || (fence_before_look(), may_be_sent_to(*c)));
}

chan_status chan_try_send(chan_core* c, const void* element) {
  m& self = come_in();
  if (c == nullptr) return chan_status::blocked;
  check_bubble(*c, "send on");
  if (!chan_may_take(c)) return chan_status::blocked;
  return communicate<true, false>(self, *c, const_cast<void*>(element));
}

chan_status chan_try_recv(chan_core* c, void* slot) {
  m& self = come_in();
  if (c == nullptr) return chan_status::blocked;
  check_bubble(*c, "receive on");
  // A channel is not opened again: found open after it was found empty, it was open then.
  if (has_none(*c) && (fence_before_look(), has_none(*c))) {
    if (!c->closed.load(std::memory_order_acquire)) return chan_status::blocked;
    // Elements may have come between the first look and the close, but none after it.
    if (has_none(*c)) return chan_status::closed;
  }
  return communicate<false, false>(self, *c, slot);
}

bool chan_is_closed(const chan_core* c) noexcept {
  return c != nullptr && c->closed.load(std::memory_order_acquire);
}

namespace {

// Who waits is woken in portions, so that neither the lock is held nor a handshake kept waiting for all of them.
// Nobody gets into line any more once it is closed. False: it was closed before.
bool close_core(chan_core& c) {
  constexpr int k_portion = 64;
  bool was_closed_before = false;
  for (bool first = true, more = true; more; first = false) {
    runtime_section section;
    chan_wait* woken = nullptr;
    c.lock.lock(current());
    was_closed_before = first && c.closed.load(std::memory_order_relaxed);
    c.closed.store(true, std::memory_order_release);
    more = !was_closed_before && claim_some(c, k_portion, woken);
    c.lock.unlock();
    while (woken != nullptr) {
      chan_wait& w = *woken;
      woken = w.next_woken;
      wake(w);
    }
  }
  return !was_closed_before;
}

}  // namespace

void chan_close(chan_core* c) {
  come_in();
  if (c == nullptr) throw null_channel("close of a null channel");
  check_bubble(*c, "close of");
  if (!close_core(*c)) throw closed_channel("close of a closed channel");
}

void chan_close_from_anywhere(chan_core* c) {
  come_in();
  close_core(*c);
}

std::size_t chan_len(const chan_core* c) noexcept {
  return c != nullptr ? c->count.load(std::memory_order_acquire) : 0;
}
std::size_t chan_cap(const chan_core* c) noexcept { return c != nullptr ? c->capacity : 0; }

void throw_sent_on_closed() { throw closed_channel("send on a closed channel"); }

}  // namespace cairn::detail
