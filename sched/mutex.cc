// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The mutex of goroutines. As Go's, it is unfair until somebody has waited for a millisecond: an unlock frees the mutex
// and calls the first in line, and whoever comes by meanwhile may take it, for it runs already. The called one keeps
// its place if it comes too late. If it has waited for long the unlock reserves the mutex: nobody but the first in line
// takes it then, so that a loser gets it at the latest with the first unlock after a millisecond and its own wake.
//
// The word. k_held: somebody has it. k_line: somebody may stand in line, so an unlock has to look. k_called:
// the first in line has been called and is not here yet, so an unlock has nothing to do. k_reserved: not held,
// but for the first in line. 0 becomes k_held and back by a CAS; k_line, with k_called or without, gets k_held
// by a CAS, and k_held | k_line | k_called loses it; everything else happens under the lock of the hall. Not
// held with a line means that its first has been called. Bits that speak of nobody, because who was called has
// been dropped, are found out under the lock of the hall: k_called by the next one who comes to stand in line,
// k_line by the next unlock without k_called. (Where the line goes on without who was dropped, its next has
// been called instead.)
//
// Rejected: the mutex's number of waiters in the word, as Go has it, and handing it over by a word that stays
// held. Both would have to be put right for a goroutine that is dropped while it waits, when the mutex may be
// gone.
#include <cstdlib>

#include "cairn/sync/mutex.h"
#include "heap/delay.h"
#include "sched/futex.h"
#include "sched/line.h"
#include "sched/message.h"
#include "sched/proc.h"

namespace cairn::sync {
namespace {

constexpr std::uint32_t k_held = 1, k_line = 2, k_reserved = 4, k_called = 8;
constexpr std::int64_t k_starving_ns = 1'000'000;

inline void pause() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  asm volatile("yield");
#endif
}

// Whoever holds it may run on another processor and be done soon. Only while nobody waits: it would be no use to come
// before those who sleep already.
bool spin_for(std::atomic<std::uint32_t>& word) noexcept {
  constexpr int k_rounds = 4, k_pauses = 30;
  if (sched::proc_limit() == 1 && sched::parkable() != nullptr) return false;
  for (int i = 0; i < k_rounds; ++i) {
    std::uint32_t state = word.load(std::memory_order_relaxed);
    // Acquire, here and below: with the release of the unlock.
    if (state == 0 &&
        word.compare_exchange_strong(state, k_held, std::memory_order_acquire, std::memory_order_relaxed))
      return true;
    if ((state & (k_line | k_reserved)) != 0) return false;
    for (int k = 0; k < k_pauses; ++k) pause();
  }
  return false;
}

// Free, and the first in line has been called but is not here yet.
bool take_before_called(std::atomic<std::uint32_t>& word) noexcept {
  std::uint32_t state = word.load(std::memory_order_relaxed);
  while ((state & ~k_called) == k_line)
    if (word.compare_exchange_weak(state, state | k_held, std::memory_order_acquire, std::memory_order_relaxed))
      return true;
  return false;
}
// Held, and there is nobody to be called.
bool leave_to_called(std::atomic<std::uint32_t>& word) noexcept {
  std::uint32_t state = k_held | k_line | k_called;
  // Release: with lock(). From here on the mutex may be gone.
  return word.load(std::memory_order_relaxed) == state &&
         word.compare_exchange_strong(state, k_line | k_called, std::memory_order_release,
                                      std::memory_order_relaxed);
}

// Takes the mutex, if it is free for `w`: which need not be in line, or null. Else sees to it that an unlock looks.
bool take(std::atomic<std::uint32_t>& word, sched::hall& h, sched::place* w) noexcept CAIRN_REQUIRES(h.lock) {
  sched::place* first = h.first_at(&word);
  const bool comes_first = first == nullptr || first == w;
  const bool others = first != nullptr && (first != w || first->next != first);
  const std::uint32_t called = first != nullptr && first != w && !first->asleep ? k_called : 0;
  std::uint32_t state = word.load(std::memory_order_relaxed);
  for (;;) {
    const bool is_free = (state & k_held) == 0 && ((state & k_reserved) == 0 || comes_first);
    const std::uint32_t line = (others || !is_free ? k_line : 0) | called;
    const std::uint32_t wanted = (is_free ? k_held : state & (k_held | k_reserved)) | line;
    if (!is_free && (wanted == state || w == nullptr)) return false;
    if (word.compare_exchange_weak(state, wanted, std::memory_order_acquire, std::memory_order_relaxed))
      return is_free;
  }
}

[[noreturn, gnu::cold]] void report_not_held() noexcept {
  (sched::message() << "cairn: sync::mutex: unlock() of a mutex that is not locked\n").send();
  std::abort();
}

}  // namespace

void mutex::lock_slow() {
  sched::take_long_way();
  if (take_before_called(state_) || spin_for(state_)) return;
  sched::place w(&state_, sched::wait_reason::mutex, sched::first_of_line);
  sched::enter_section();
  {
    heap::lock_guard held(w.home.lock);
    if (!take(state_, w.home, &w)) {
      w.since = sched::now_ns();
      w.home.append(w);
      do sched::sleep_in_line(w);
      while (!take(state_, w.home, &w));
      w.home.remove(w);
    }
  }
  sched::leave_section();
}

bool mutex::try_lock_slow() {
  sched::self();
  sched::check_ending();
  // It may be reserved for one that is no more.
  sched::runtime_section section;
  sched::hall& h = sched::hall_of(&state_);
  heap::lock_guard held(h.lock);
  return take(state_, h, nullptr);
}

void mutex::unlock_slow(bool may_end) {
  bool was_held = leave_to_called(state_);
  if (!was_held) {
    sched::runtime_section section;
    sched::hall& h = sched::hall_of(&state_);
    sched::wake_up heir;
    {
      heap::lock_guard held(h.lock);
      was_held = (state_.load(std::memory_order_relaxed) & k_held) != 0;
      sched::place* first = was_held ? h.first_at(&state_) : nullptr;
      // One that has been called and is not here yet comes too late, if it does, and sleeps again before it is asked.
      const bool starves = first != nullptr && first->asleep &&
                           sched::now_ns() - first->since >= k_starving_ns;
      heap::maybe_delay("mutex.unlock");
      if (first != nullptr) heir = sched::call(*first);
      // Release: with lock(). From here on the mutex may be gone.
      if (was_held)
        state_.store(first == nullptr ? 0 : k_line | k_called | (starves ? k_reserved : 0),
                     std::memory_order_release);
    }
    heir.deliver();
  }
  if (!was_held) report_not_held();
  if (may_end) sched::check_ending();  // not before: nobody else would unlock it
}

}  // namespace cairn::sync
