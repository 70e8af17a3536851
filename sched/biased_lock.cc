// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/biased_lock.h"

#include <algorithm>

#include "sched/futex.h"
#include "sched/stealing.h"

namespace cairn::sched {

void biased_lock::bias(m* self) noexcept {
  streak_ = 0;
  if (self == nullptr || !has_fence_for_all.load(std::memory_order_relaxed)) return;
  word_.store(word_.load(std::memory_order_relaxed) | k_biased, std::memory_order_relaxed);
}

// `v`: the word, free, as it was read a moment ago. Takes the lock if nobody has had it since.
bool biased_lock::take_from(std::uint64_t v, const m* self) noexcept {
  if ((v & k_biased) != 0) {
    // No older than the word, for that was read by an acquire. The bias may be another one's already, but then the word
    // is no longer v.
    std::uintptr_t owner = owner_.load(std::memory_order_relaxed);
    const auto* other = reinterpret_cast<const m*>(owner & ~k_ending);
    if (other != self && other != nullptr) {
      if ((owner & k_ending) == 0 &&
          !owner_.compare_exchange_strong(owner, owner | k_ending, std::memory_order_relaxed) &&
          owner != (reinterpret_cast<std::uintptr_t>(other) | k_ending))
        return false;
      heap::maybe_delay("biased_lock.ending");
      fence_other_threads();
      await_window(*other, this);
    }
  }
  // Acquire: with unlock().
  return word_.compare_exchange_strong(v, (v | k_held) & ~k_biased, std::memory_order_acquire,
                                       std::memory_order_relaxed);
}

bool biased_lock::try_slow(m* self) noexcept {
  const std::uint64_t v = word_.load(std::memory_order_acquire);
  if ((v & k_held) != 0 || !take_from(v, self)) return false;
  count(self);
  return true;
}

void biased_lock::lock_slow(m* self) noexcept {
  const no_work waits(self);
  constexpr int k_spins = 64;
  constexpr std::int64_t k_moment_ns = 50'000;
  for (int i = 0;; ++i) {
    const std::uint64_t v = word_.load(std::memory_order_acquire);
    if ((v & k_held) == 0) {
      if (take_from(v, self)) return count(self);
    } else if (i >= k_spins) {
      static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);
      // The lower half, by its address only.
      const void* half = &word_;
      futex_wait(*static_cast<const std::atomic<std::uint32_t>*>(half), static_cast<std::uint32_t>(v),
                 now_ns() + k_moment_ns);
    }
    // From the first time on for longer than it is held: meanwhile its line stays where it is used, again and again.
    for (int k = 0; k < 1 << std::min(i + 3, 6); ++k) heap::cpu_relax();
  }
}

}  // namespace cairn::sched
