// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Draining, scanning, sharing. See gc/mark.h.
//
// Scanned memory belongs to the program: it may be a stack with the sanitizers' red zones in it, or memory that another
// thread wrote before it was stopped. So the scanning functions are not instrumented.
#include "gc/mark.h"

#include <cstring>
#include <utility>

#include "cairn/detail/assert.h"
#include "gc/fields.h"
#include "gc/filter.h"
#include "gc/runtime.h"
#include "gc/slice.h"
#include "heap/fatal.h"
#include "heap/mspan.h"

namespace cairn::gc {

using heap::g_space;

namespace {

constexpr const char*
    k_no_buffers = "out of memory for the collector's work buffers: the system refused 64 KiB";

}  // namespace

void marker::scan_words(const void* from, const void* to) noexcept {
  constexpr std::size_t k_block = 256;
  const std::uintptr_t base = g_space.base;
  const std::size_t limit = g_space.committed.load(std::memory_order_relaxed);
  auto* p = static_cast<const std::uintptr_t*>(from);
  for (auto left = static_cast<std::size_t>(static_cast<const std::uintptr_t*>(to) - p); left > 0;) {
    const std::size_t n = left < k_block ? left : k_block;
    if (hi_ + k_block + k_filter_slack > k_stack) [[unlikely]]
      spill();
    hi_ += filter_words(p, n, base, limit, stack_ + hi_);
    p += n;
    left -= n;
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
  if (detail::is_noscan_class(o.span_class)) return;
  if (is_masked(o.span_class)) scan_masked(o.base, mask_of(o.first, o.span_class));
  else push_oblets(o.base, o.first, o.span_class);
}

CAIRN_SCANS void marker::scan_masked(std::uintptr_t at, std::uint64_t mask) noexcept {
  if (hi_ + 64 > k_stack) [[unlikely]]
    spill();
  const std::size_t limit = g_space.committed.load(std::memory_order_relaxed);
  hi_ = static_cast<std::size_t>(push_masked(stack_ + hi_, at, mask, g_space.base, limit) - stack_);
}

// Returns how many candidates it has pushed.
std::size_t marker::scan_batch(unsigned which) noexcept {
  if (hi_ + 64 * k_batch > k_stack) [[unlikely]]
    spill();
  const std::size_t before = hi_;
  hi_ = static_cast<std::size_t>(batching.scan(grey_[which], n_grey_[which], stack_ + hi_) - stack_);
  n_grey_[which] = 0;
  return hi_ - before;
}

// ---- by region ------------------------------------------------------------------------------------------------------

void marker::sort_top(std::size_t n) noexcept {
  hi_ = static_cast<std::size_t>(sorter_.sort(stack_ + hi_ - n, stack_ + hi_) - stack_);
}

// What is in the sorter is work as before.
void marker::stop_sorting() noexcept {
  if (region_ != k_no_region) pool_.regions().leave(region_);
  region_ = k_no_region;
  sorts_ = false;
  spilled_ = 0;
}

// The next buffer of the region at hand or, when there is none, of the fullest; then what has not filled a buffer.
// Null: there is too little for it to be worth it. What a count promises somebody may be just putting or taking: that
// is not waited for, since the kernel may have given his processor to others.
work_buf* marker::next_sorted() noexcept {
  region_lists& lists = pool_.regions();
  for (int entered = 0; entered < 2; ++entered) {
    if (region_ != k_no_region) {
      if (work_buf* b = lists.try_take(region_)) return b;
      const std::uint32_t left = std::exchange(region_, k_no_region);
      lists.leave(left);
      if (work_buf* b = sorter_.take(left)) return b;
    }
    region_ = lists.enter();
    if (region_ == k_no_region) break;
  }
  if (region_ != k_no_region)
    if (work_buf* b = lists.try_take(region_)) return b;
  return sorter_.entries() >= lists.least_entries() ? sorter_.take_next() : nullptr;
}

// Objects of over 512 bytes, which have no masks.
void marker::push_oblets(std::uintptr_t at, std::size_t first, unsigned span_class) noexcept {
  std::size_t bytes = detail::k_class_bytes[span_class / 2];
  if (bytes == 0) bytes = g_space.span_at(first)->elem_bytes;
  for (std::size_t offset = 0; offset < bytes; offset += k_oblet_bytes) push((at + offset) | k_oblet_tag);
}

// The next piece of an oblet, or of an object that is less than one.
void marker::scan_oblet(std::uintptr_t at) noexcept {
  const std::size_t page = g_space.page_of(at);
  const heap::mspan* s = g_space.span_at(g_space.first_page(page, g_space.info_of(page)));
  const std::size_t offset = (at - s->base) % s->elem_bytes;
  const std::size_t in_object = s->elem_bytes - offset, in_oblet = k_oblet_bytes - offset % k_oblet_bytes;
  const std::size_t left = in_object < in_oblet ? in_object : in_oblet;
  const std::size_t bytes = left < k_piece_bytes ? left : k_piece_bytes;
  if (left > bytes) push((at + bytes) | k_oblet_tag);
  scan_words(reinterpret_cast<void*>(at), reinterpret_cast<void*>(at + bytes));
  bytes_scanned += bytes;
}

template <bool runs_cycle>
[[gnu::always_inline]] inline bool marker::set_mark(heap::bit_group& bits, unsigned index,
                                                    unsigned span_class) noexcept {
  const std::uint64_t bit = heap::bit_of(index);
  const std::uint64_t own = bits.mark.load(std::memory_order_relaxed);
  if (((own | bits.mark_shared.load(std::memory_order_relaxed)) & bit) != 0) return false;
  if ((bits.alloc.load(std::memory_order_relaxed) & bit) == 0) return false;
  // Release: with specials::lock_weak. Large objects are marked by one only: their size counts too much to be counted
  // twice.
  if (!runs_cycle || span_class < 2)
    return (bits.mark_shared.fetch_or(bit, std::memory_order_release) & bit) == 0;
  bits.mark.store(own | bit, std::memory_order_release);
  return true;
}

template <bool runs_cycle>
void marker::mark_batch(found_batch& batch, unsigned n) noexcept {
  constexpr unsigned k_rarely = 4;  // so many candidates to one that is marked, and more
  grey* next = grey_[filling_];
  std::size_t marked = 0, bytes = 0, to_scan = 0;
  const unsigned found = n;
  if (mostly_marked_) n = batching.unmarked(batch, n);
  for (unsigned i = 0; i < n; ++i) {
    const unsigned span_class = batch.span_class(i);
    if (!set_mark<runs_cycle>(*batch.bits[i], batch.index(i), span_class)) continue;
    const std::size_t elem = detail::k_class_bytes[span_class / 2], first = batch.first(i);
    const std::uintptr_t address = batch.address[i];
    ++marked;
    bytes += elem != 0 ? elem : g_space.span_at(first)->elem_bytes;
    if (detail::is_noscan_class(span_class)) continue;
    if (!is_masked(span_class)) {
      push_oblets(address, first, span_class);
      continue;
    }
    __builtin_prefetch(reinterpret_cast<const void*>(address));
    to_scan += elem;
    *next++ = {address, mask_of(first, span_class)};
  }
  n_grey_[filling_] = static_cast<unsigned>(next - grey_[filling_]);
  mostly_marked_ = marked < found / k_rarely;
  objects_marked += marked;
  bytes_marked += bytes;
  bytes_scanned += to_scan;
}

// The next candidates that point into objects. Few or none where the stack is empty, or a piece was scanned and there
// was little in it: budgets and slices are looked at between batches, and an array of null pointers has no end.
unsigned marker::find_batch(found_batch& out) noexcept {
  constexpr std::size_t k_few = 4;  // one at a time
  const std::size_t enough = bytes_scanned + k_piece_bytes;
  unsigned n = 0;
  for (;;) {
    if (hi_ - lo_ >= k_few) {
      const std::uintptr_t* top = stack_ + hi_;
      n = batching.find(stack_ + lo_, top, out, n);
      hi_ = static_cast<std::size_t>(top - stack_);
    }
    if (n == k_batch || hi_ == lo_ || bytes_scanned >= enough) return n;
    const std::uintptr_t entry = stack_[--hi_];
    if ((entry & k_entry_tags) != 0) visit_tagged(entry);
    else n += find_one(entry, out, n) ? 1 : 0;
  }
}

// A list: one candidate leads to one more, and all the time is one chain of loads, each of which needs the last one's
// result. It is kept short by guesses, which the processor checks while it goes on: that the next object lies in the
// page of the last one, so that nothing has to be looked up, and that a pointer is to an object's start. The object is
// read while its bits are still on their way.
template <bool runs_cycle, bool scouts>
CAIRN_SCANS void marker::chase() noexcept {
  const std::uintptr_t base = g_space.base;
  const std::size_t limit = g_space.committed.load(std::memory_order_relaxed);
  std::size_t page = SIZE_MAX, first = 0, bytes = 0, marked = 0;
  std::uintptr_t start = 0;
  std::uint64_t mask = 0;
  unsigned span_class = 0;
  stack_[0] = stack_[lo_];
  lo_ = 0, hi_ = 1;
  while (hi_ == 1 && marked < k_chase) {
    const std::uintptr_t entry = stack_[0];
    if ((entry & (k_oblet_tag | k_stack_tag)) != 0) break;
    __builtin_prefetch(reinterpret_cast<const void*>(entry));
    if constexpr (scouts) scout_.advance();
    if (const std::size_t p = g_space.page_of(entry); p != page) {
      const heap::page_info info = g_space.info_of(p);
      if (!info.in_use() || !is_masked(info.span_class()) || detail::is_noscan_class(info.span_class()))
        break;
      if (marked != 0 && info.span_class() != span_class) break;
      page = p;
      first = g_space.first_page(p, info);
      start = g_space.page_address(first);
      span_class = info.span_class();
      bytes = detail::k_class_bytes[span_class / 2];
      mask = mask_of(first, span_class);
    }
    const auto index = static_cast<unsigned>((entry - start) * detail::k_class_reciprocal[span_class / 2] >>
                                             32);
    hi_ = 0;
    if (!set_mark<runs_cycle>(g_space.group_of(first, index), index, span_class)) break;
    ++marked;
    std::uintptr_t at = entry;
    if (const std::uintptr_t object = start + index * bytes; object != entry) [[unlikely]] {
      at = object;
      asm("" : "+r"(at));  // a branch, to be guessed, and not a conditional move, to be waited for
    }
    hi_ = static_cast<std::size_t>(push_masked(stack_, at, mask, base, limit) - stack_);
  }
  objects_marked += marked;
  bytes_marked += marked * bytes;
  bytes_scanned += marked * bytes;
}

// Follows a list. If each load has to be waited for, other lists are followed meanwhile (gc/scout.h), until too
// much was followed in vain.
template <bool runs_cycle, bool waits>
void marker::follow() noexcept {
  constexpr unsigned k_look = 8;           // calls from one that is timed to the next
  constexpr std::uint64_t k_slow_ns = 60;  // an object
  constexpr int k_slow_looks = 4;          // in a row
  constexpr unsigned k_in_vain = 32'768;   // calls: half a second
  constexpr int k_rest = 4'096;            // looks, after that: as many calls
  if constexpr (runs_cycle || waits) {
    if (scouting_ != 0) {
      chase<runs_cycle, true>();
      if (scout_.has_reached()) {
        scouting_ = k_in_vain;
        put_above(scout_.take());
      } else if (--scouting_ == 0) {
        scout_.give_up();
        slow_ = -k_rest;
      }
      return;
    }
    if (++chases_ % k_look == 0) {
      const std::size_t before = objects_marked;
      const std::uint64_t began = now_ns();
      chase<runs_cycle, false>();
      const bool is_slow = objects_marked - before == k_chase && now_ns() - began >= k_chase * k_slow_ns;
      if (is_slow || slow_ < 0) ++slow_;
      else slow_ = 0;
      if (slow_ == k_slow_looks) scouting_ = k_in_vain;
      return;
    }
  }
  chase<runs_cycle, false>();
}

void marker::take_shaded() noexcept {
  if (!pool_.has_shaded() || hi_ - lo_ > k_deep || hi_ + work_buf::k_entries > k_stack) return;
  work_buf* b = pool_.try_take_shaded();
  if (b == nullptr) return;
  std::memcpy(stack_ + hi_, b->entries, b->n * sizeof(std::uintptr_t));
  hi_ += b->n;
  pool_.give_empty(b);
}

void marker::between_objects() noexcept {
  take_shaded();
  if (pool_.is_wanted()) share();
  if (slice != nullptr) slice->check(*this);
}

template <bool runs_cycle, bool waits>
bool marker::drain(std::size_t objects, std::size_t bytes) noexcept {
  const std::size_t scanned_before = bytes_scanned;
  found_batch batch;
  std::size_t done = 0;
  take_shaded();
  for (unsigned batches = 0;;) {
    if (sorts_ && hi_ - lo_ < k_batch && !put_above(next_sorted())) stop_sorting();
    if (!sorts_ && (waits || scouting_ != 0) && hi_ - lo_ < k_batch) take_more();
    if (hi_ - lo_ == 1 && !has_grey() && !take_more()) {
      const std::size_t marked_before = objects_marked;
      follow<runs_cycle, waits>();
      done += objects_marked - marked_before;
    }
    if (hi_ - lo_ > k_deep && move_out(work_buf::k_entries) != 0) ++spilled_;
    const unsigned n = find_batch(batch);
    mark_batch<runs_cycle>(batch, n);
    filling_ ^= 1;
    const std::size_t pushed = scan_batch(filling_);
    if (!sorts_) sorts_ = pool_.regions().is_crowded(spilled_);
    if (sorts_) sort_top(pushed);
    if (hi_ == lo_ && n_grey_[filling_ ^ 1] == 0) {
      lo_ = hi_ = 0;
      if (sorter_.entries() != 0) {
        put_above(sorter_.take_next());
      } else {
        CAIRN_ASSERT(!has_work(), "a marker that has candidates looks for others");
        if (!put_above(waits ? pool_.wait_for_work(&scout_) : pool_.try_take_full())) {
          stop_scouting();
          stop_sorting();
          return false;
        }
      }
    }
    done += n;
    if ((++batches & 1) == 0) between_objects();
    if constexpr (!waits) {
      if (done >= objects || bytes_scanned - scanned_before >= bytes) {
        if (!has_work()) {
          stop_scouting();
          stop_sorting();
        }
        return true;
      }
    }
  }
}

bool marker::drain_alone(std::size_t objects, std::size_t bytes) noexcept {
  CAIRN_ASSERT(runs_cycle_, "only the marker of the thread that runs the cycle drains alone");
  return drain<true, false>(objects, bytes);
}
void marker::drain_shared() noexcept {
  if (runs_cycle_) drain<true, true>(0, 0);
  else drain<false, true>(0, 0);
}
bool marker::drain_beside(std::size_t objects, std::size_t bytes) noexcept {
  return runs_cycle_ ? drain<true, false>(objects, bytes) : drain<false, false>(objects, bytes);
}

// Others above the few candidates there are, so that there is something to do beside waiting for them.
bool marker::take_more() noexcept {
  if (sorter_.entries() != 0) return put_above(sorter_.take_next());
  return pool_.has_full() && put_above(pool_.try_take_full());
}

// Above the few candidates that there are.
bool marker::put_above(work_buf* b) noexcept {
  if (b == nullptr) return false;
  const std::size_t n = hi_ - lo_;
  CAIRN_ASSERT(n + b->n <= k_stack, "a buffer does not fit");
  std::memmove(stack_, stack_ + lo_, n * sizeof(std::uintptr_t));
  if (b->region != k_no_region) {
    const std::uintptr_t start = pool_.regions().start_of(b->region);
    for (std::uint32_t i = 0; i < b->n; ++i) stack_[n + i] = start + (std::uintptr_t{b->offsets[i]} << 3);
    // Who comes to where others sort does so, too.
    if (!sorts_) sorts_ = pool_.regions().others_sort();
  } else {
    std::memcpy(stack_ + n, b->entries, b->n * sizeof(std::uintptr_t));
    --spilled_;
  }
  lo_ = 0;
  hi_ = n + b->n;
  pool_.give_empty(b);
  return true;
}

// When there is nothing left here: this may be the end of the cycle, which notes must not outlive.
void marker::stop_scouting() noexcept {
  scout_.give_up();
  scouting_ = 0;
  slow_ = 0;
}

// Moves the n oldest entries to the pool; at most a buffer's worth. Returns how many.
std::size_t marker::move_out(std::size_t n) noexcept {
  work_buf* b = pool_.take_empty();
  if (b == nullptr) return 0;
  b->n = static_cast<std::uint32_t>(n < work_buf::k_entries ? n : work_buf::k_entries);
  std::memcpy(b->entries, stack_ + lo_, b->n * sizeof(std::uintptr_t));
  lo_ += b->n;
  const std::size_t moved = b->n;
  pool_.put_full(b);
  return moved;
}

// The stack's end is reached: if more than half of it is in use, the older half of that goes to the pool; the rest
// moves down. False: not all of the half could go.
bool marker::try_spill() noexcept {
  const std::size_t have = hi_ - lo_;
  std::size_t want = have > k_deep ? have / 2 : 0;  // else moving it is enough
  while (want > 0) {
    const std::size_t n = move_out(want);
    if (n == 0) break;
    ++spilled_;
    want -= n;
  }
  std::memmove(stack_, stack_ + lo_, (hi_ - lo_) * sizeof(std::uintptr_t));
  hi_ -= lo_;
  lo_ = 0;
  return want == 0;
}

void marker::spill() noexcept {
  // Without the system's 2 KiB there is no way to go on marking, and no way to take back what was marked.
  if (try_spill()) return;
  stop_scouting();  // its notes are buffers, too, that may be done without
  if (!try_spill()) heap::fatal_error(k_no_buffers);
}

void marker::share() noexcept {
  const std::size_t have = hi_ - lo_;
  if (sorter_.entries() > have) return pool_.put_region(sorter_.take_next());
  if (have >= 2) move_out(have / 2);  // refused: keep it
}

bool marker::try_flush() noexcept {
  stop_scouting();
  stop_sorting();
  sorter_.hand_over();
  for (unsigned which = 0; which < 2; ++which) {
    if (n_grey_[which] == 0) continue;
    if (hi_ + 64 * k_batch > k_stack && !try_spill()) return false;
    scan_batch(which);
  }
  while (hi_ > lo_)
    if (move_out(hi_ - lo_) == 0) return false;
  lo_ = hi_ = 0;
  return true;
}

void marker::flush() noexcept {
  if (!try_flush()) heap::fatal_error(k_no_buffers);
}

}  // namespace cairn::gc
