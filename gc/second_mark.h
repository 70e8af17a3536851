// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// What marks of the stopped heap besides the cycle's own are made of: gc/verify.cc and gc/leak_trace.cc. They have bits
// of their own, and leave those of the cycle alone.
#pragma once
#include <cstddef>
#include <cstdint>

#include "cairn/detail/assert.h"
#include "gc/mark.h"
#include "gc/runtime.h"
#include "heap/os.h"
#include "heap/space.h"

namespace cairn::gc {

// f(candidate) for everything that `m` and the pool hold, until nothing is left. f may add. World stopped.
template <class F>
void for_each_candidate(marker& m, F&& f) noexcept {
  m.flush();
  while (work_buf* b = rt().work.try_take_full()) {
    CAIRN_ASSERT(b->region == k_no_region, "what has not been drained has not been sorted");
    for (std::size_t i = 0; i < b->n; ++i) {
      const std::uintptr_t entry = b->entries[i];
      if ((entry & (k_oblet_tag | k_stack_tag)) == 0) {
        f(entry);
      } else {
        m.visit_tagged(entry);
        m.flush();
      }
    }
    rt().work.give_empty(b);
  }
}

// The marker's figures are the cycle's: as they were, afterwards.
class kept_figures {
 public:
  explicit kept_figures(marker& m) noexcept
      : m_(m), bytes_(m.bytes_marked), objects_(m.objects_marked), scanned_(m.bytes_scanned) {}
  ~kept_figures() {
    m_.bytes_marked = bytes_;
    m_.objects_marked = objects_;
    m_.bytes_scanned = scanned_;
  }
  kept_figures(const kept_figures&) = delete;
  kept_figures& operator=(const kept_figures&) = delete;

 private:
  marker& m_;
  std::size_t bytes_, objects_, scanned_;
};

// One bit for each 8 bytes of committed heap, mapped for as long as it lives.
class heap_bits {
 public:
  heap_bits() noexcept : bytes_(heap::g_space.committed.load(std::memory_order_relaxed) / 64) {
    if (bytes_ != 0) words_ = static_cast<std::uint64_t*>(heap::the_os().map(bytes_));
  }
  ~heap_bits() {
    if (words_ != nullptr) heap::the_os().release(words_, bytes_);
  }
  heap_bits(const heap_bits&) = delete;
  heap_bits& operator=(const heap_bits&) = delete;
  bool usable() const noexcept { return words_ != nullptr || bytes_ == 0; }
  // True if it was not set before.
  bool set(std::uintptr_t a) noexcept {
    const std::size_t i = (a - heap::g_space.base) / 8;
    const std::uint64_t bit = std::uint64_t{1} << i % 64;
    const bool fresh = (words_[i / 64] & bit) == 0;
    words_[i / 64] |= bit;
    return fresh;
  }
  bool has(std::uintptr_t a) const noexcept {
    const std::size_t i = (a - heap::g_space.base) / 8;
    return (words_[i / 64] >> i % 64 & 1) != 0;
  }

 private:
  std::size_t bytes_;
  std::uint64_t* words_ = nullptr;
};

}  // namespace cairn::gc
