// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Draining, scanning, sharing. See gc/mark.h.
//
// Scanned memory belongs to the program: it may be a stack with the sanitizers' red zones in it, or memory that another
// thread wrote before it was stopped. So the scanning functions are not instrumented.
#include "gc/mark.h"

#include <bit>
#include <cstring>

#include "cairn/detail/assert.h"
#include "gc/slice.h"
#include "heap/fatal.h"
#include "heap/mspan.h"

namespace cairn::gc {

using heap::g_space;

CAIRN_SCANS void marker::scan_words(const void* from, const void* to) noexcept {
  const std::uintptr_t base = g_space.base;
  const std::size_t limit = g_space.committed.load(std::memory_order_relaxed);
  for (auto* p = static_cast<const std::uintptr_t*>(from); p < to; ++p) {
    const std::uintptr_t word = *const_cast<const volatile std::uintptr_t*>(p);
    if (word - base < limit) push(word & ~std::uintptr_t{7});
  }
}

CAIRN_SCANS void marker::scan_stack(const void* from, const void* to) noexcept {
  for_each_stack_word(from, to, [this](std::uintptr_t entry) { push(entry); });
}

// The entry is looked at as what it says, and here as what its tag says besides.
void marker::visit_tagged(std::uintptr_t entry) noexcept {
  const std::uintptr_t word = entry & ~std::uintptr_t{7};
  if ((entry & k_oblet_tag) != 0) return scan_oblet(word);
  // One past the end: the object of the byte before it, if that ends here and its span has held an array.
  heap::object_ref o;
  if (heap::find_object(word - 1, o)) {
    const heap::mspan* s = g_space.span_at(o.first);
    if (o.base + s->elem_bytes == word && s->has_array.load(std::memory_order_relaxed) != 0) push(o.base);
  }
  candidate(word);
}

void marker::scan_object(const heap::object_ref& o) noexcept {
  if (!detail::is_noscan_class(o.span_class)) scan(o.base, o.first, o.span_class);
}

CAIRN_SCANS void marker::scan(std::uintptr_t at, std::size_t first, unsigned span_class) noexcept {
  const std::size_t bytes = detail::k_class_bytes[span_class / 2];
  if (bytes - 1 >= k_masked_bytes) {  // over 512, or 0: large
    if (bytes != 0) {
      scan_words(reinterpret_cast<void*>(at), reinterpret_cast<void*>(at + bytes));
      bytes_scanned += bytes;
    } else {
      scan_large(at, g_space.span_at(first)->elem_bytes);
    }
    return;
  }
  std::uint64_t mask = g_space.masks[first].load(std::memory_order_relaxed);
  if (bytes < k_masked_bytes) mask &= (std::uint64_t{1} << bytes / 8) - 1;
  bytes_scanned += bytes;
  if (hi_ + 64 > k_stack) [[unlikely]]
    spill();
  const std::uintptr_t base = g_space.base;
  const std::size_t limit = g_space.committed.load(std::memory_order_relaxed);
  std::uintptr_t* top = stack_ + hi_;
  for (; mask != 0; mask &= mask - 1) {
    const std::uintptr_t word = reinterpret_cast<const volatile std::uintptr_t*>(at)[std::countr_zero(mask)];
    *top = word & ~std::uintptr_t{7};  // stored always, kept if it counts: no branch to mispredict
    top += word - base < limit;
  }
  hi_ = static_cast<std::size_t>(top - stack_);
}

void marker::scan_large(std::uintptr_t at, std::size_t bytes) noexcept {
  for (std::size_t offset = k_oblet_bytes; offset < bytes; offset += k_oblet_bytes)
    push((at + offset) | k_oblet_tag);
  scan_oblet(at);
}

void marker::scan_oblet(std::uintptr_t at) noexcept {
  const std::size_t page = g_space.page_of(at);
  const heap::mspan* s = g_space.span_at(g_space.first_page(page, g_space.info_of(page)));
  const std::uintptr_t end = s->base + s->elem_bytes;
  const std::size_t bytes = end - at < k_oblet_bytes ? end - at : k_oblet_bytes;
  scan_words(reinterpret_cast<void*>(at), reinterpret_cast<void*>(at + bytes));
  bytes_scanned += bytes;
}

template <bool shared>
bool marker::set_mark(std::size_t first, unsigned index) noexcept {
  heap::page_bits& line = g_space.line_of(first, index);
  const unsigned w = index / 64 % heap::k_line_words;
  const std::uint64_t bit = heap::bit_of(index);
  const std::uint64_t seen = line.mark[w].load(std::memory_order_relaxed);
  if ((seen & bit) != 0) return false;
  if ((line.alloc[w].load(std::memory_order_relaxed) & bit) == 0) return false;
  // Release: with specials::lock_weak.
  if constexpr (shared) return (line.mark[w].fetch_or(bit, std::memory_order_release) & bit) == 0;
  line.mark[w].store(seen | bit, std::memory_order_relaxed);
  return true;
}

template <bool shared>
void marker::visit(std::uintptr_t entry) noexcept {
  if ((entry & (k_oblet_tag | k_stack_tag)) != 0) [[unlikely]]
    return visit_tagged(entry);
  const std::size_t page = g_space.page_of(entry);
  const heap::page_info info = g_space.info_of(page);
  if (!info.in_use()) return;
  const std::size_t first = g_space.first_page(page, info);
  const unsigned span_class = info.span_class(), size_class = span_class / 2;
  const std::uintptr_t start = g_space.page_address(first);
  const auto index = static_cast<unsigned>((entry - start) * detail::k_class_reciprocal[size_class] >> 32);
  // A candidate in the unused tail of a span has an index beyond its slots, whose allocation bit is never set; of the
  // 8 byte class there is no tail. Large objects' reciprocal is 0, and so is their index.
  if (!set_mark<shared>(first, index)) return;
  const std::size_t elem = detail::k_class_bytes[size_class];
  ++objects_marked;
  bytes_marked += size_class != 0 ? elem : g_space.span_at(first)->elem_bytes;
  if (!detail::is_noscan_class(span_class)) scan(start + index * elem, first, span_class);
}

void marker::fill_ring() noexcept {
  while (ring_count_ < k_ring && hi_ > lo_) {
    const std::uintptr_t entry = stack_[--hi_];
    const std::uintptr_t offset = entry - g_space.base;
    __builtin_prefetch(reinterpret_cast<const void*>(entry));
    __builtin_prefetch(&g_space.bits[offset >> detail::k_page_shift]);
    ring_[(ring_head_ + ring_count_) % k_ring] = entry;
    ++ring_count_;
  }
}

void marker::between_objects() noexcept {
  if (pool_.is_wanted()) share();
  if (slice != nullptr) slice->check(*this);
}

template <bool shared, bool waits>
bool marker::drain(std::size_t objects, std::size_t bytes) noexcept {
  const std::size_t scanned_before = bytes_scanned;
  for (std::size_t n = 0;; ++n) {
    fill_ring();
    if (ring_count_ == 0) {
      lo_ = hi_ = 0;
      if (!take(waits ? pool_.wait_for_work() : pool_.try_take_full())) return false;
      continue;
    }
    const std::uintptr_t entry = ring_[ring_head_];
    ring_head_ = (ring_head_ + 1) % k_ring;
    --ring_count_;
    visit<shared>(entry);
    if constexpr (shared) {
      if (n % 64 == 63) between_objects();
    }
    if constexpr (!waits) {
      if (n >= objects || bytes_scanned - scanned_before >= bytes) return true;
    }
  }
}

bool marker::drain_alone(std::size_t objects, std::size_t bytes) noexcept {
  return drain<false, false>(objects, bytes);
}
void marker::drain_shared() noexcept { drain<true, true>(0, 0); }
bool marker::drain_beside(std::size_t objects, std::size_t bytes) noexcept {
  return drain<true, false>(objects, bytes);
}

bool marker::take(work_buf* b) noexcept {
  if (b == nullptr) return false;
  std::memcpy(stack_, b->entries, b->n * sizeof(std::uintptr_t));
  lo_ = 0;
  hi_ = b->n;
  pool_.give_empty(b);
  return true;
}

// Moves the n oldest entries to the pool; at most a buffer's worth. Returns how many.
std::size_t marker::move_out(std::size_t n) noexcept {
  work_buf* b = pool_.take_empty();
  if (b == nullptr) return 0;
  b->n = n < work_buf::k_entries ? n : work_buf::k_entries;
  std::memcpy(b->entries, stack_ + lo_, b->n * sizeof(std::uintptr_t));
  lo_ += b->n;
  const std::size_t moved = b->n;
  pool_.put_full(b);
  return moved;
}

// The stack is full: its older half goes to the pool, the rest moves down.
void marker::spill() noexcept {
  for (std::size_t want = (hi_ - lo_) / 2; want > 0;) {
    const std::size_t n = move_out(want);
    // Without the system's 2 KiB there is no way to go on marking, and no way to take back what was marked.
    if (n == 0)
      heap::fatal_error("out of memory for the collector's work buffers: the system refused 64 KiB");
    want -= n;
  }
  std::memmove(stack_, stack_ + lo_, (hi_ - lo_) * sizeof(std::uintptr_t));
  hi_ -= lo_;
  lo_ = 0;
}

void marker::share() noexcept {
  const std::size_t have = hi_ - lo_;
  if (have >= 2) move_out(have / 2);  // refused: keep it
}

void marker::flush() noexcept {
  while (ring_count_ > 0) {
    push(ring_[ring_head_]);
    ring_head_ = (ring_head_ + 1) % k_ring;
    --ring_count_;
  }
  while (hi_ > lo_) {
    if (move_out(hi_ - lo_) == 0) heap::fatal_error("out of memory for the collector's work buffers");
  }
  lo_ = hi_ = 0;
}

}  // namespace cairn::gc
