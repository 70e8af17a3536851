// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/idle_list.h"

#include <utility>

#include "cairn/detail/assert.h"
#include "heap/delay.h"
#include "sched/futex.h"

namespace cairn::sched::idle_list {

std::atomic<std::int64_t> rest_ns{k_rest_ns};

namespace {

std::atomic<bool> is_refused{false};  // written by the maker; relaxed: who misses it looks again before it ends

unsigned needed() noexcept {
  return static_cast<unsigned>(sch.limit.load(std::memory_order_relaxed)) + k_spare_workers;
}

bool has_surplus() noexcept CAIRN_REQUIRES(sch.lock) {
  return sch.n_idle_m > needed() && !is_refused.load(std::memory_order_relaxed);
}

// Until when it may sleep.
std::int64_t put(m& self) noexcept {
  const std::int64_t until = now_ns() + rest_ns.load(std::memory_order_relaxed);
  heap::lock_guard held(sch.lock);
  self.is_listed = true;
  self.prev_idle = nullptr;
  self.next_idle = sch.idle_m;
  if (sch.idle_m != nullptr) sch.idle_m->prev_idle = &self;
  sch.idle_m = &self;
  ++sch.n_idle_m;
  return has_surplus() ? until : k_forever;
}

void take_out(m& worker) noexcept CAIRN_REQUIRES(sch.lock) {
  (worker.prev_idle != nullptr ? worker.prev_idle->next_idle : sch.idle_m) = worker.next_idle;
  if (worker.next_idle != nullptr) worker.next_idle->prev_idle = worker.prev_idle;
  worker.is_listed = false;
  --sch.n_idle_m;
}

// Its deadline has passed.
bool take_out_surplus(m& self) noexcept {
  heap::lock_guard held(sch.lock);
  if (!self.is_listed || !has_surplus()) return false;
  take_out(self);
  return true;
}

}  // namespace

bool rest(m& self) noexcept {
  CAIRN_ASSERT(!self.spinning && self.proc.load(std::memory_order_relaxed) == 0 && self.locked == nullptr,
               "a worker goes to sleep with something to do");
  self.was_idle = true;
  std::int64_t until = put(self);
  while (!sleep_on_note(self, until)) {
    heap::maybe_delay("sched.rest");
    if (take_out_surplus(self)) return false;
    until = k_forever;
  }
  return true;
}

m* take() noexcept {
  m* worker = sch.idle_m;
  if (worker != nullptr) take_out(*worker);
  return worker;
}

void rouse_surplus() noexcept {
  m* surplus = nullptr;
  {
    heap::lock_guard held(sch.lock);
    while (has_surplus()) {
      m* worker = take();
      worker->next_idle = surplus;
      surplus = worker;
    }
  }
  while (surplus != nullptr) {
    m* worker = std::exchange(surplus, surplus->next_idle);  // once woken it uses the link
    hand(*worker, nullptr);
  }
}

void note_refusal(bool refused) noexcept {
  if (is_refused.exchange(refused, std::memory_order_relaxed) && !refused) rouse_surplus();
}

}  // namespace cairn::sched::idle_list
