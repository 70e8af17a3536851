// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Boxes: the empty ones that a channel keeps, and the wait for one that has been sent before it was filled.
#include "heap/delay.h"
#include "sched/chan.h"
#include "sched/handshake.h"
#include "sched/proc.h"

namespace cairn::sched {
namespace {

using detail::chan_box;

// Who waits for a box; on its stack.
struct box_wait : chan_wait {
  explicit box_wait(chan_box& b) noexcept : box(b) {}
  chan_box& box;
};

bool announce(box_wait& w) noexcept {
  std::uintptr_t pending = chan_box::k_pending;
  // Release: with settle. Acquire when it is settled: what it holds.
  return w.box.state.compare_exchange_strong(pending, reinterpret_cast<std::uintptr_t>(&w),
                                             std::memory_order_release, std::memory_order_acquire);
}

void commit_wait(void* arg) noexcept {
  auto& w = *static_cast<box_wait*>(arg);
  if (!announce(w)) ready(w.g);
}

bool cancel_wait(goroutine&, void* arg) noexcept {
  auto& w = *static_cast<box_wait*>(arg);
  auto own = reinterpret_cast<std::uintptr_t>(&w);
  // Relaxed: only its own address is taken back.
  return w.box.state.compare_exchange_strong(own, chan_box::k_pending, std::memory_order_relaxed,
                                             std::memory_order_relaxed);
}

// In a section, or on a thread without an m.
void settle(chan_box& box, std::uintptr_t outcome) noexcept {
  heap::maybe_delay("chan_box.settle");
  // Acquire and release: as chan_box says.
  const std::uintptr_t before = box.state.exchange(outcome, std::memory_order_acq_rel);
  if (before > chan_box::k_failed) wake(*reinterpret_cast<box_wait*>(before));
}

struct promise : loose_end {
  explicit promise(chan_box& b) noexcept : box(b), owner(parkable()) {
    if (owner == nullptr) return;
    tie = [](loose_end& end) noexcept { break_promise(static_cast<promise&>(end).box); };
    next_end = owner->loose_ends;
    owner->loose_ends = this;
  }
  ~promise() {
    if (owner != nullptr) owner->loose_ends = next_end;
    runtime_section section;
    settle(box, kept ? chan_box::k_settled : chan_box::k_failed);
  }
  chan_box& box;
  goroutine* const owner;
  bool kept = false;
};

}  // namespace

void break_promise(detail::chan_box& box) noexcept { settle(box, detail::chan_box::k_failed); }

}  // namespace cairn::sched

namespace cairn::detail {

using namespace sched;

namespace {

// `slot` goes from what it holds to `box`, in a section.
void link_box(chan_box*& slot, chan_box* box) noexcept {
  chan_box* const words[] = {slot, box};
  slot = box;
  if (stores_are_watched()) [[unlikely]]
    bulk_barrier_slow(words, sizeof words);
}

}  // namespace

chan_box* take_spare_box(chan_core* c) {
  if (c == nullptr) return nullptr;
  self();
  check_ending();
  runtime_section section;
  c->lock.lock(current());
  chan_box* const box = c->spare;
  if (box != nullptr) {
    link_box(c->spare, box->next);
    link_box(box->next, nullptr);
    --c->n_spare;
  }
  c->lock.unlock();
  return box;
}

void give_spare_box(chan_core* c, chan_box* box) noexcept {
  if (c == nullptr) return;  // the value for a null channel could not be made
  constexpr std::size_t k_most = 1000;
  runtime_section section;
  c->lock.lock(current());
  // As many as can be under way, with some for those that wait.
  if (c->n_spare < k_most && c->n_spare < c->capacity + 8) {
    link_box(box->next, c->spare);
    link_box(c->spare, box);
    ++c->n_spare;
  }
  c->lock.unlock();
}

bool await_box(chan_box& box) {
  // Acquire, here and below: with settle.
  std::uintptr_t state = box.state.load(std::memory_order_acquire);
  if (state == chan_box::k_pending) {
    box_wait w(box);
    w.g = parkable();
    if (w.g != nullptr) {
      enter_section();
      park({wait_reason::chan_receive, commit_wait, cancel_wait, &w});
    } else if (announce(w)) {
      sleep_as_thread(w);
    }
    state = box.state.load(std::memory_order_acquire);
  }
  return state == chan_box::k_settled;
}

void keep_promise(chan_box& box, void (*construct)(void* arg), void* arg) {
  promise p(box);
  construct(arg);
  p.kept = true;
}

}  // namespace cairn::detail
