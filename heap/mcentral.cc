// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Lists of spans, and sweeping them when somebody needs one. See heap/mcentral.h.
#include "heap/mcentral.h"

#include "cairn/detail/assert.h"
#include "heap/clock.h"
#include "heap/mheap.h"

namespace cairn::heap {

namespace {

// What one refill sweeps at most: spans (Go's figure, some 3 to 5 us when their bits are in the cache), and ns from the
// second on, looked at every 4 spans. Raising them delays a refill that finds nothing, lowering them grows the heap
// although garbage is at hand. (A ring of 1 KiB messages, of whose spans half are full: p99.9 of an insert 13 us with
// 8 us here, 8 with 2; with the records prefetched 4.6 with 2, 4.4 with 1.)
constexpr unsigned k_most_swept = 100;
constexpr std::uint64_t k_most_sweep_ns = 1'000;

mspan* hand_out(mspan* s, std::uint32_t h) noexcept {
  if (s == nullptr) return nullptr;
  if (s->n_alloc == 0) the_heap.reset_span(s);
  s->sweepgen.store(h + 3, std::memory_order_release);  // pairs with who sweeps the caches
  return s;
}

}  // namespace

void large_list::push(mspan* s) noexcept {
  lock_guard guard(lock_);
  mspan* head = head_.load(std::memory_order_relaxed);
  s->preceding = nullptr;
  s->following = head;
  if (head != nullptr) head->preceding = s;
  s->in.store(this, std::memory_order_relaxed);
  head_.store(s, std::memory_order_relaxed);
}

mspan* large_list::pop() noexcept {
  if (empty()) return nullptr;
  lock_guard guard(lock_);
  mspan* s = head_.load(std::memory_order_relaxed);
  if (s == nullptr) return nullptr;
  head_.store(s->following, std::memory_order_relaxed);
  if (s->following != nullptr) s->following->preceding = nullptr;
  s->following = nullptr;
  s->in.store(nullptr, std::memory_order_relaxed);
  return s;
}

bool large_list::remove(mspan* s) noexcept {
  lock_guard guard(lock_);
  if (s->in.load(std::memory_order_relaxed) != this) return false;
  if (s->preceding != nullptr) s->preceding->following = s->following;
  else head_.store(s->following, std::memory_order_relaxed);
  if (s->following != nullptr) s->following->preceding = s->preceding;
  s->following = s->preceding = nullptr;
  s->in.store(nullptr, std::memory_order_relaxed);
  return true;
}

unsigned mcentral::sweep_uncounted(mspan* s, std::uint32_t h) noexcept {
  CAIRN_ASSERT(s->sweepgen.load(std::memory_order_acquire) == h - 2, "swept a span that did not need it");
  s->sweepgen.store(h - 1, std::memory_order_relaxed);
  const unsigned gone = s->sweep();
  // Pairs with the acquire of whoever takes the span next.
  s->sweepgen.store(h, std::memory_order_release);
  return gone;
}

bool mcentral::sweep(mspan* s, std::uint32_t h) noexcept {
  if (const unsigned gone = sweep_uncounted(s, h)) freed.fetch_add(gone, std::memory_order_relaxed);
  return s->n_alloc < s->n_slots;
}

mspan* mcentral::sweep_for_use(span_list& from, std::uint32_t h, search& so_far) noexcept {
  while (so_far.budget > 0) {
    mspan* s = from.pop_to_sweep();
    if (s == nullptr) return nullptr;
    if (--so_far.budget == k_most_swept - 2) so_far.since_second.emplace(so_far.used);
    if (so_far.budget % 4 == 0 && monotonic_ns() - so_far.since_second->began() > k_most_sweep_ns)
      so_far.budget = 0;
    if (sweep(s, h)) return s;
    full_[swept(h)].push(s);
  }
  return nullptr;
}

mspan* mcentral::take(std::uint32_t h, cpu_use& used, interval& spent) noexcept {
  search so_far{k_most_swept, used, {}};
  mspan* s = partial_[swept(h)].pop();
  if (s == nullptr) s = sweep_for_use(partial_[unswept(h)], h, so_far);
  if (s == nullptr) s = sweep_for_use(full_[unswept(h)], h, so_far);
  if (so_far.since_second) spent = so_far.since_second->stop();
  return hand_out(s, h);
}

mspan* mcentral::take_swept(std::uint32_t h) noexcept { return hand_out(partial_[swept(h)].pop(), h); }

void mcentral::put(mspan* s, std::uint32_t h) noexcept {
  s->sweepgen.store(h, std::memory_order_release);
  (s->n_alloc < s->n_slots ? partial_ : full_)[swept(h)].push(s);
}

std::size_t mcentral::sweep_one(std::uint32_t h, bool may_wait) noexcept {
  mspan* s = partial_[unswept(h)].pop_to_sweep();
  if (s == nullptr) s = full_[unswept(h)].pop_to_sweep();
  if (s == nullptr) return 0;
  const std::size_t pages = s->pages;
  sweep(s, h);
  if (s->n_alloc == 0) {
    // A large span that is filed nobody takes.
    if (!may_wait && !s->is_large()) {
      if (the_heap.try_free_span(s)) return pages;
    } else {
      the_heap.free_span(s);
      return pages;
    }
  }
  put(s, h);
  return pages;
}

std::size_t mcentral::sweep_batch(std::uint32_t h) noexcept {
  mspan* batch[k_batch];
  unsigned n = partial_[unswept(h)].pop_to_sweep(batch, k_batch);
  if (n == 0) n = full_[unswept(h)].pop_to_sweep(batch, k_batch);
  if (n == 0) return 0;
  span_list::chain full(full_[swept(h)]), partial(partial_[swept(h)]);
  mspan* empty[k_batch];
  unsigned n_empty = 0;
  std::size_t pages = 0, gone = 0;
  for (unsigned i = 0; i < n; ++i) {
    mspan* s = batch[i];
    pages += s->pages;
    gone += sweep_uncounted(s, h);
    if (s->n_alloc == 0) empty[n_empty++] = s;
    else (s->n_alloc < s->n_slots ? partial : full).add(s);
  }
  if (gone > 0) freed.fetch_add(gone, std::memory_order_relaxed);
  full.push();
  partial.push();
  if (n_empty > 0) the_heap.free_spans(empty, n_empty);
  return pages;
}

bool mcentral::take_large(mspan* s, std::uint32_t h) noexcept {
  const std::uint32_t g = s->sweepgen.load(std::memory_order_acquire);
  if (g == h) return full_[swept(h)].remove(s);
  if (g == h - 2) return full_[unswept(h)].remove(s);
  return false;
}

}  // namespace cairn::heap
