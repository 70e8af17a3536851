// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The mutex of readers and writers. Its word: the number of readers that hold it, times 4; k_writer, held by a
// writer; k_line, somebody may stand in line. Readers count themselves by an addition, and take that back if
// one of the two bits was there; a writer takes 0 by a CAS. Everything else happens under the lock of the hall.
//
// There are two lines, of readers and of writers, in the hall of the word. A reader gets in line if a writer has the
// mutex or stands in line. When a writer unlocks, the readers that are in line then are admitted: they go before any
// writer, and those that come later do not go with them. So an unlock lets in one writer, or the readers that have
// waited, in turns. Among themselves writers go in the order of their coming; but one that comes by while
// the mutex is free and the first in line has not woken yet may take it, until that one has waited for a millisecond.
//
// Who is called takes the mutex by itself, as in mutex.cc, and for the reason given there; a reader that has
// done so calls the next one that may. So what has to hold is: whenever a change lets somebody in line in,
// somebody in line is called that may go or, if it may not, knows who has come before. These changes are: a
// writer unlocks; the count comes to 0 with k_line set, be it by an unlock or by a reader that takes its
// addition back; an admitted reader goes in, or a waiter gives up. A waiter that is called in vain stays where
// it is. The count is not 0 while a reader holds it, and who brings it to 0 sees k_line, which a writer sets,
// by an operation on the same word, before it waits.
//
// Rejected: as Go, the readers that wait counted in the word, and let in by the writer's one addition: a
// goroutine that is dropped while it waits would have to take itself off, when the mutex may be gone.
#include "cairn/sync/rw_mutex.h"

#include <cstdlib>

#include "heap/delay.h"
#include "sched/futex.h"
#include "sched/line.h"
#include "sched/message.h"
#include "sched/proc.h"

namespace cairn::sync {
namespace {

constexpr std::uint32_t k_writer = 1, k_line = 2, k_reader = 4;
constexpr std::int64_t k_starving_ns = 1'000'000;
enum role : std::uint64_t { k_waits, k_admitted };  // place::amount of a reader

using word_type = std::atomic<std::uint32_t>;

const void* readers_of(const void* word) noexcept { return word; }
const void* writers_of(const void* word) noexcept { return static_cast<const char*>(word) + 1; }

// Who stands in line at a mutex; with the lock of the hall.
struct lines {
  sched::hall& in;
  const void* word;

  sched::place* reader() const noexcept CAIRN_NO_THREAD_SAFETY_ANALYSIS {
    return in.first_at(readers_of(word));
  }
  sched::place* writer() const noexcept CAIRN_NO_THREAD_SAFETY_ANALYSIS {
    return in.first_at(writers_of(word));
  }
  bool is_reader_admitted() const noexcept {
    const sched::place* first = reader();
    return first != nullptr && first->amount == k_admitted;
  }
  // Of those in line, who goes next once the mutex is free, or free for readers.
  sched::place* next() const noexcept {
    sched::place* w = writer();
    return w == nullptr || is_reader_admitted() ? reader() : w;
  }
  // k_line, if there is anybody but `w`.
  std::uint32_t others(const sched::place* w) const noexcept {
    const auto has_others = [w](const sched::place* first) {
      return first != nullptr && (first != w || first->next != first);
    };
    return has_others(reader()) || has_others(writer()) ? k_line : 0;
  }
};

sched::wake_up call(sched::place* w) noexcept { return w != nullptr ? sched::call(*w) : sched::wake_up{}; }

sched::place* heir_of_reader(sched::hall& h, const void* address) { return lines{h, address}.next(); }
sched::place* heir_of_writer(sched::hall& h, const void* address) {
  return lines{h, static_cast<const char*>(address) - 1}.next();
}

// Takes it for the writer `w`, which need not be in line, or null. Else sees to it that an unlock looks.
bool take_as_writer(word_type& word, const lines& at, const sched::place* w) noexcept {
  const sched::place* first = at.writer();
  const bool in_turn = !at.is_reader_admitted() &&
                       (first == nullptr || first == w || sched::now_ns() - first->since < k_starving_ns);
  std::uint32_t state = word.load(std::memory_order_relaxed);
  for (;;) {
    const bool fits = in_turn && (state & ~k_line) == 0;
    const std::uint32_t wanted = fits ? k_writer | at.others(w) : state | k_line;
    if (!fits && (wanted == state || w == nullptr)) return false;
    // Acquire: with the unlocks.
    if (word.compare_exchange_weak(state, wanted, std::memory_order_acquire, std::memory_order_relaxed))
      return fits;
  }
}

// The same for a reader, which the word counts already or not. It does not count it if this returns false.
bool take_as_reader(word_type& word, const lines& at, const sched::place* w, bool is_counted) noexcept {
  const bool in_turn = at.writer() == nullptr || (w != nullptr && w->amount == k_admitted);
  const std::uint32_t counted = is_counted ? k_reader : 0;
  std::uint32_t state = word.load(std::memory_order_relaxed);
  for (;;) {
    const bool fits = in_turn && (state & k_writer) == 0;
    const std::uint32_t without = (state - counted) & ~k_line;
    const std::uint32_t wanted = fits ? (without + k_reader) | at.others(w) : without | k_line;
    if (!fits && (wanted == state || w == nullptr)) return false;
    // Acquire: with the writers' unlock. Release: of a reader that is not counted any more nothing is to be seen, but
    // others' unlocks came before.
    if (word.compare_exchange_weak(state, wanted, std::memory_order_acq_rel, std::memory_order_relaxed))
      return fits;
  }
}

[[noreturn, gnu::cold]] void report(const char* what) noexcept {
  (sched::message() << "cairn: sync::rw_mutex: " << what << "\n").send();
  std::abort();
}

}  // namespace

void rw_mutex::lock_slow() {
  sched::take_long_way();
  sched::place w(writers_of(&state_), sched::hall_of(&state_), sched::wait_reason::rw_mutex_write,
                 heir_of_writer);
  const lines at{w.home, &state_};
  sched::enter_section();
  {
    heap::lock_guard held(w.home.lock);
    if (!take_as_writer(state_, at, &w)) {
      w.since = sched::now_ns();
      w.home.append(w);
      do sched::sleep_in_line(w);
      while (!take_as_writer(state_, at, &w));
      w.home.remove(w);
    }
  }
  sched::leave_section();
}

bool rw_mutex::try_lock_slow() {
  sched::self();
  sched::check_ending();
  sched::runtime_section section;
  sched::hall& h = sched::hall_of(&state_);
  heap::lock_guard held(h.lock);
  return take_as_writer(state_, {h, &state_}, nullptr);
}

void rw_mutex::unlock_slow() {
  bool was_held = false;
  {
    sched::runtime_section section;
    sched::hall& h = sched::hall_of(&state_);
    const lines at{h, &state_};
    sched::wake_up next;
    {
      heap::lock_guard held(h.lock);
      was_held = (state_.load(std::memory_order_relaxed) & k_writer) != 0;
      if (was_held) {
        if (sched::place* first = at.reader()) {
          sched::place* w = first;
          do {
            w->amount = k_admitted;
            w = w->next;
          } while (w != first);
        }
        heap::maybe_delay("rw_mutex.unlock");
        next = call(at.next());
        // Release: with who takes it. From here on the mutex may be gone. Nobody else changes the two bits meanwhile.
        const std::uint32_t gone = at.others(nullptr) != 0 ? k_writer : k_writer | k_line;
        state_.fetch_and(~gone, std::memory_order_release);
      }
    }
    next.deliver();
  }
  if (!was_held) report("unlock() of a mutex that is not locked for writing");
  sched::check_ending();  // not before: nobody else would unlock it
}

void rw_mutex::begin_shared() { sched::take_long_way(); }

void rw_mutex::lock_shared_slow() {
  sched::place w(readers_of(&state_), sched::wait_reason::rw_mutex_read, heir_of_reader);
  const lines at{w.home, &state_};
  sched::wake_up next;
  sched::enter_section();
  {
    heap::lock_guard held(w.home.lock);
    if (!take_as_reader(state_, at, &w, true)) {
      w.home.append(w);
      // Its count, which is gone now, may have kept a writer out. Relaxed: who else brings it to 0 looks too.
      if ((state_.load(std::memory_order_relaxed) & ~k_line) == 0) next = call(at.next());
      do {
        if (next.g != nullptr || next.word != nullptr) {
          w.home.lock.unlock();
          std::exchange(next, {}).deliver();
          w.home.lock.lock();
        } else {
          sched::sleep_in_line(w);
        }
      } while (!take_as_reader(state_, at, &w, false));
      w.home.remove(w);
      if (at.is_reader_admitted() || at.writer() == nullptr) next = call(at.reader());
    }
  }
  next.deliver();
  sched::leave_section();
}

bool rw_mutex::try_lock_shared_slow() {
  sched::self();
  sched::check_ending();
  sched::runtime_section section;
  sched::hall& h = sched::hall_of(&state_);
  heap::lock_guard held(h.lock);
  return take_as_reader(state_, {h, &state_}, nullptr, false);
}

// Of the mutex only the address is used: it may be gone.
void rw_mutex::unlock_shared_slow(std::uint32_t before) noexcept {
  if (before < k_reader) report("unlock_shared() of a mutex that is not locked for reading");
  if ((before & k_line) == 0) return;
  sched::runtime_section section;
  sched::hall& h = sched::hall_of(&state_);
  sched::wake_up next;
  {
    heap::lock_guard held(h.lock);
    next = call(lines{h, &state_}.next());
  }
  next.deliver();
}

}  // namespace cairn::sync
