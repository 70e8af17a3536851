// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// A lock for what is mostly used by one thread at a time, for long: a channel between goroutines of one P. Who has
// taken it k_streak times in a row gets the bias: it takes it by plain stores from there on, where a locked
// instruction would be half of what a send costs. The first other one that comes ends the bias, with a fence for
// all (sched/fence.h); k_streak is so long that what was saved until then is more than what that costs.
//
// The word: bit 0, held; bit 1, biased; above, how often it was released. `owner`: whose streak it is, or who has the
// bias; bit 0, the bias is being ended.
//
//   held, not biased     -> released                    by a store of who holds it, biased or not
//   free, not biased     -> held                        by a CAS
//   held, not biased     -> held, biased                by a store of who holds it, who is also the owner
//   free, biased         -> held, biased                by a store of the owner, in a window (sched/window.h) in
//                                                       which it has seen itself as the owner, with bit 0 clear
//   free, biased         -> held, not biased            by a CAS of anybody, who before it has read the word, has seen
//                                                       bit 0 of the owner set or set it, has made the fence,
//                                                       and has waited for the owner's window
//
// Why nobody else has it then. A biased word is stored to by its owner only. Whoever ends the bias expects the
// very word that it read first, so if its CAS succeeds nobody has taken the lock since, and the owner it read
// is that of this bias. After the fence the owner finds bit 0 set, or its window is waited for, and what it
// stored in it is seen, and fails the CAS. The word never comes back, as it counts.
//
// `owner` is written by who holds the lock; bit 0 is set by anybody, by CAS. Set late, it ends a bias that nobody
// wanted to end, of the same owner, which costs time only.
//
// Held for some tens of nanoseconds, in sections. Who has to wait spins, then sleeps for moments: the holder can only
// be off its processor, which takes longer than that anyway. Lies in collected memory, so nobody may wake who sleeps on
// it after it was released.
//
// Rejected: `held` as the sign that the owner is inside, without windows: the owner's store, on its way while another
// one's CAS succeeds, would overwrite it. A window per lock: an owner of former times may still be about to close it.
// Ending the bias by a handshake: it would have to wait for sections that may want this lock.
#pragma once
#include <atomic>
#include <cstdint>

#include "sched/window.h"

namespace cairn::sched {

class biased_lock {
 public:
  static constexpr std::uint32_t k_streak = 1000;

  // Another streak: for tests, in which the bias is to come and go more often.
  explicit biased_lock(std::uint32_t streak = k_streak) noexcept : needed_(streak) {}

  // `self`: the caller, in a section; null: a thread without an m.
  void lock(m* self) noexcept {
    if (!try_at_once(self)) [[unlikely]]
      lock_slow(self);
  }
  // False: somebody has it, or had it a moment ago.
  [[nodiscard]] bool try_lock(m* self) noexcept { return try_at_once(self) || try_slow(self); }
  void unlock() noexcept {
    // Release: with all that take it.
    word_.store(word_.load(std::memory_order_relaxed) + (k_one - k_held), std::memory_order_release);
  }

  // Bit 0: somebody holds it. Another one later: somebody has, or the bias has changed. Acquire: what is read after it
  // is no older.
  std::uint64_t version() const noexcept { return word_.load(std::memory_order_acquire); }
  bool is_biased() const noexcept { return (word_.load(std::memory_order_relaxed) & k_biased) != 0; }

 private:
  static constexpr std::uint64_t k_held = 1, k_biased = 2, k_one = 4;
  static constexpr std::uintptr_t k_ending = 1;

  [[gnu::always_inline]] bool try_at_once(m* self) noexcept {
    std::uint64_t v = word_.load(std::memory_order_relaxed);
    if ((v & k_biased) != 0) return take_biased(self);
    // Acquire: with unlock().
    if ((v & k_held) != 0 ||
        !word_.compare_exchange_strong(v, v | k_held, std::memory_order_acquire, std::memory_order_relaxed))
      return false;
    count(self);
    return true;
  }
  [[gnu::always_inline]] bool take_biased(m* self) noexcept {
    if (self == nullptr) return false;
    window w(*self, this);
    // Acquire: the owner is no older than the word. Else it may be read first, and be this thread though the bias
    // that is then found is that of another one, who needed no fence to get it. The rest is relaxed: see above. Whoever
    // had it last was this same thread.
    const std::uint64_t v = word_.load(std::memory_order_acquire);
    if (owner_.load(std::memory_order_relaxed) != reinterpret_cast<std::uintptr_t>(self)) return false;
    if ((v & (k_biased | k_held)) != k_biased) return false;
    word_.store(v | k_held, std::memory_order_relaxed);
    return true;
  }
  // By who has just taken it.
  void count(m* self) noexcept {
    const auto own = reinterpret_cast<std::uintptr_t>(self);
    if (owner_.load(std::memory_order_relaxed) != own) {
      owner_.store(own, std::memory_order_relaxed);
      streak_ = 0;
    } else if (++streak_ >= needed_) [[unlikely]] {
      bias(self);
    }
  }
  void bias(m* self) noexcept;
  bool take_from(std::uint64_t v, const m* self) noexcept;
  bool try_slow(m* self) noexcept;
  void lock_slow(m* self) noexcept;

  std::atomic<std::uint64_t> word_{0};
  std::atomic<std::uintptr_t> owner_{0};  // an m, which stays one for ever
  std::uint32_t streak_ = 0;              // of the owner; of who holds the lock
  const std::uint32_t needed_;
};

}  // namespace cairn::sched
