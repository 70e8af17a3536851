// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The mutex of readers and writers. Its word: the number of readers that hold it, times 8; k_writer, held by a
// writer; k_line, somebody may stand in line; k_called, only readers may, the first of whom has been called and is
// not here yet. Readers count themselves by an addition, and take that back if one of the first two bits was there; a
// writer takes 0 by a CAS. Everything else happens under the lock of the hall.
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
// it is. With k_called alone nobody has to be called: others may read meanwhile as if there were no line. The count is
// not 0 while a reader holds it, and who brings it to 0 sees k_line, which a writer sets,
// by an operation on the same word, before it waits.
//
// The bias. Two locked instructions on one word are what reading costs, and with many processors it costs them all
// their time. Who reads a mutex that has a bias counts himself in his thread's own table instead (read_counts.h), by
// plain stores, in a window on the mutex (window.h) in which he has seen it. How many readers there are is then
// what the word counts and what the tables count, in sum; it does not matter which one a reader that unlocks is taken
// from: his thread's table; if that counts none, because he came before the bias or on another thread, the word, by a
// CAS; and if that counts none either he ends the bias. (Dice, Kogan: BRAVO, USENIX ATC 2019, where readers enter
// themselves in one table for all by an atomic operation, and who revokes the bias waits for them.)
//
//   no writer, line, bias -> k_unknown   by a reader that holds it, once k_enough have counted themselves in the word,
//                                        under the lock of the hall, by an addition to the word
//   k_unknown             -> biased      by the same, under the same lock: bias_ is a number that no mutex has had
//   biased                -> k_unknown   by who must know the sum, under the lock of the hall: bias_ is 0
//   k_unknown             -> as before   by the same, still under that lock, after the fence and the wait for all
//                                        windows on the mutex: the tables' counts are added and k_unknown is taken
//                                        off by one addition
//
// k_unknown is 2^28 readers that there are not. As long as any readers may be counted in tables it is in the word: so
// that is not 0, and no writer takes it; who unlocks by the ordinary subtraction is not the last one, and does not
// look at who waits. Nor need he, for nobody does: k_line is set under the lock of the hall, by who has ended the
// bias before, and a bias begins only without it. When k_unknown goes the number is exact, and the lock is still held.
//
// An unlock that has seen no bias, and subtracts when there is one, may find that a reader of another thread's
// table has been taken from the word in his stead: the word then counts -1 (with k_unknown, no borrow) and that
// table 1. The sum is right, and the next one to end the bias finds 0. If the mutex is destroyed first, the 1
// stays in the table, and the same is true of a mutex that is given up while it is held. That is what the bias
// has a number for: no other mutex is ever found to be held by it. That place of that one table is lost.
//
// Who ends the bias does so while the mutex is his to use: he wants it or holds it. Nobody looks at it in a window but
// who wants it or holds it either; after the window he does not touch it.
//
// To end it costs some microseconds, so it must not come often: reads_ is set so far back that the reads until the
// next bias take some thirty times as long as this end took. reads_ counts by plain stores beside the addition; that
// some are lost does no harm. bias_ is a word apart because a look at the word that the last locked instruction was
// on takes half as long as another one.
//
// The fenced bias. Where a write comes every hundred reads that never pays; but readers on two processors who count
// themselves in one word wait for its cache line most of the time. So when readers have met there often enough a bias
// begins in which their windows are fenced (window.h). A read costs as many locked instructions then as by the word,
// but on the thread's own memory, and who ends the bias makes no fence for others. bias_ says which kind it is, by
// its bit 0. Who goes by a plain window counts himself only in a plain bias; a fenced window will do for both.
//
// Of a fenced bias nobody counts the reads in common: each thread adds its own to reads_ now and then, and who
// finds them enough for a plain bias puts that in the fenced one's place. A fenced bias that did not last was
// not worth it: it takes many more meetings until the next one.
//
// Rejected: as Go, the readers that wait counted in the word, and let in by the writer's one addition: a
// goroutine that is dropped while it waits would have to take itself off, when the mutex may be gone.
#include "cairn/sync/rw_mutex.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "cairn/detail/assert.h"
#include "heap/delay.h"
#include "heap/pause.h"
#include "sched/futex.h"
#include "sched/line.h"
#include "sched/message.h"
#include "sched/proc.h"
#include "sched/registry.h"
#include "sched/window.h"

namespace cairn::sync {
namespace {

constexpr std::uint32_t k_writer = 1, k_line = 2, k_called = 4, k_reader = 8,
                        k_unknown = std::uint32_t{1} << 31;
constexpr std::int32_t k_enough = 1 << 14, k_most_reads = 1 << 30;
constexpr std::uint64_t k_fenced = 1;          // in bias_
constexpr std::int32_t k_fenced_reads = 4096;  // of a thread, until it adds them to reads_
constexpr std::int32_t k_delayed_fenced_reads = 16;
constexpr std::int32_t k_many_meetings = 256;
constexpr std::int64_t k_short_ns = 500, k_ns_unit = 64;  // of `began_`
constexpr std::int64_t k_starving_ns = 1'000'000;
enum role : std::uint64_t { k_waits, k_admitted };  // place::amount of a reader

using word_type = std::atomic<std::uint32_t>;
using bias_type = std::atomic<std::uint64_t>;

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
  static bool has_others(const sched::place* first, const sched::place* w) noexcept {
    return first != nullptr && (first != w || first->next != first);
  }
  // The bit for those in line but `w`, while a writer has the mutex.
  std::uint32_t others(const sched::place* w) const noexcept {
    return has_others(reader(), w) || has_others(writer(), w) ? k_line : 0;
  }
  // The same while none has it.
  std::uint32_t others_of_reader(const sched::place* w) const noexcept {
    const sched::place* first = reader();
    const bool is_called = first != nullptr && first != w && !first->asleep && writer() == nullptr;
    return is_called ? k_called : others(w);
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
    const bool fits = in_turn && (state & ~(k_line | k_called)) == 0;
    const std::uint32_t wanted = fits ? k_writer | at.others(w) : (state & ~k_called) | k_line;
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
    const std::uint32_t without = (state - counted) & ~(k_line | k_called);
    const std::uint32_t wanted = fits ? (without + k_reader) | at.others_of_reader(w) : without | k_line;
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
[[noreturn, gnu::cold]] void report_not_read() noexcept {
  report("unlock_shared() of a mutex that is not locked for reading");
}

// Whoever holds it may run on another processor and be done soon. Not while somebody stands in line: it would be no use
// to come before those who sleep already.
constexpr int k_pauses = 40;
bool others_run_beside() noexcept { return sched::proc_limit() > 1 || sched::parkable() == nullptr; }

// For a writer.
bool spin_for(word_type& word) noexcept {
  if (!others_run_beside()) return false;
  for (int k = 0; k < k_pauses; ++k) {
    std::uint32_t state = word.load(std::memory_order_relaxed);
    // Acquire: with the unlocks.
    if (state == 0 &&
        word.compare_exchange_strong(state, k_writer, std::memory_order_acquire, std::memory_order_relaxed))
      return true;
    if ((state & (k_line | k_called | k_unknown)) != 0) return false;
    heap::cpu_relax();
  }
  return false;
}

// For a reader that the word counts already: true if no writer has it any more.
bool spin_for_readers(const word_type& word) noexcept {
  if (!others_run_beside()) return false;
  for (int k = 0; k < k_pauses; ++k) {
    const std::uint32_t state = word.load(std::memory_order_acquire);  // with the writers' unlock
    if ((state & k_line) != 0) return false;
    if ((state & k_writer) == 0) return true;
    heap::cpu_relax();
  }
  return false;
}

// Nobody stands in line: readers that spin are counted already. Release: with all that take it.
bool unlock_without_line(word_type& word) noexcept {
  std::uint32_t state = word.load(std::memory_order_relaxed);
  while ((state & (k_writer | k_line | k_called)) == k_writer)
    if (word.compare_exchange_weak(state, state - k_writer, std::memory_order_release,
                                   std::memory_order_relaxed))
      return true;
  return false;
}

// Of a word with k_unknown: how many readers it counts itself.
std::int64_t readers_in(std::uint32_t word) noexcept {
  return (std::int64_t{word} - std::int64_t{k_unknown}) / k_reader;
}

// How many reads it has to be until the next bias, if the end of the last one has taken `ns`. With delays: few, as one
// asks for them to see what is rare.
std::int32_t reads_for(std::int64_t ns) noexcept {
  constexpr std::int64_t k_reads_per_ns = 4, k_delayed_reads = 64;  // of some 10 ns each
  if (heap::delays.permille.load(std::memory_order_relaxed) != 0) return k_delayed_reads;
  return static_cast<std::int32_t>(std::clamp<std::int64_t>(ns * k_reads_per_ns, k_enough, k_most_reads));
}

std::uint32_t in_units(std::int64_t ns) noexcept { return static_cast<std::uint32_t>(ns / k_ns_unit); }

// What is done in a window on the mutex.
auto counting(sched::m& self, const bias_type& bias) noexcept {
  return [&self, &bias] {
    // Acquire: with the release in begin_bias().
    const std::uint64_t number = bias.load(std::memory_order_acquire);
    return number != 0 && (number & k_fenced) == 0 && self.reads.add(number);
  };
}
auto uncounting(sched::m& self, const bias_type& bias) noexcept {
  return [&self, &bias] {
    const std::uint64_t number = bias.load(std::memory_order_acquire);  // as above
    return number != 0 && (number & k_fenced) == 0 && self.reads.take(number);
  };
}

}  // namespace

void rw_mutex::lock_slow() {
  sched::take_long_way();
  if (spin_for(state_)) return;
  sched::place w(writers_of(&state_), sched::hall_of(&state_), sched::wait_reason::rw_mutex_write,
                 heir_of_writer);
  const lines at{w.home, &state_};
  sched::enter_section();
  {
    heap::lock_guard held(w.home.lock);
    end_bias();
    // From here on k_line keeps a new one away, as long as this one waits.
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
  end_bias();
  return take_as_writer(state_, {h, &state_}, nullptr);
}

void rw_mutex::unlock_slow() {
  bool was_held = unlock_without_line(state_);
  if (!was_held) {
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
        // Nobody else changes the three bits meanwhile. Release: with who takes it. From here on the mutex may be gone.
        constexpr std::uint32_t k_bits = k_writer | k_line | k_called;
        const std::uint32_t had = state_.load(std::memory_order_relaxed) & k_bits;
        state_.fetch_add(at.others_of_reader(nullptr) - had, std::memory_order_release);
      }
    }
    next.deliver();
  }
  if (!was_held) report("unlock() of a mutex that is not locked for writing");
  sched::check_ending();  // not before: nobody else would unlock it
}

// Under the lock of the hall: if there is a bias, brings all readers into the word.
void rw_mutex::end_bias() noexcept {
  const std::uint64_t former = bias_.load(std::memory_order_relaxed);
  if (former == 0) return;
  const bool was_fenced = (former & k_fenced) != 0;
  const std::int64_t start = sched::now_ns();
  // Before the fence; for fenced windows both are in the one order of all.
  bias_.store(0, std::memory_order_seq_cst);
  heap::maybe_delay("rw_mutex.ending");
  if (was_fenced) std::atomic_thread_fence(std::memory_order_seq_cst);
  else sched::fence_other_threads();
  std::uint32_t readers = 0;
  sched::for_each_record([&](sched::m& other) {
    sched::await_window(other, &state_);
    readers += static_cast<std::uint32_t>(other.reads.collect(former & ~k_fenced));
  });
  heap::maybe_delay("rw_mutex.ended");
  learn_from_bias(was_fenced, start);
  // Release: what the windows' ends have published.
  const std::uint32_t before = state_.fetch_add(readers * k_reader - k_unknown, std::memory_order_acq_rel);
  if (readers_in(before) + std::int64_t{readers} < 0) report_not_read();
}

// When the next one is worth it, the last one's end having begun at `start`. Relaxed, all of it: hints.
void rw_mutex::learn_from_bias(bool was_fenced, std::int64_t start) noexcept {
  if (!was_fenced) {
    reads_.store(k_enough - reads_for(sched::now_ns() - start), std::memory_order_relaxed);
    return;
  }
  const std::uint32_t lasted = in_units(start) - began_.load(std::memory_order_relaxed);
  const bool was_short = lasted < k_short_ns / k_ns_unit && !sched::are_delays_on();
  meetings_.store(was_short ? -k_many_meetings : 0, std::memory_order_relaxed);
}

// By a reader that the word counts, or that has just been brought into it; under the lock of the hall.
void rw_mutex::begin_bias(bool fenced) noexcept {
  static std::atomic<std::uint64_t> biases{0};  // relaxed: each is used once
  const bool has_fence = fenced || sched::has_fence_for_all.load(std::memory_order_relaxed);
  // Without a fence too: it is there only once the first P is, and a mutex may have been read often before.
  if (!fenced) reads_.store(0, std::memory_order_relaxed);
  // Relaxed: while it is held for reading the two bits and bias_ change under the lock only.
  if (!has_fence || bias_.load(std::memory_order_relaxed) != 0 ||
      (state_.load(std::memory_order_relaxed) & (k_writer | k_line | k_called)) != 0)
    return;
  // Acquire, for those who see the bias: what writers released.
  state_.fetch_add(k_unknown, std::memory_order_acquire);
  heap::maybe_delay("rw_mutex.bias");
  began_.store(in_units(sched::now_ns()), std::memory_order_relaxed);
  const std::uint64_t number = (biases.fetch_add(1, std::memory_order_relaxed) + 1) *
                               sched::read_counts::k_one_bias;
  // Release: with those who count themselves. The one order, for fenced windows.
  bias_.store(number | (fenced ? k_fenced : 0), std::memory_order_seq_cst);
}

bool rw_mutex::is_bias_due(bool has_met, bool& fenced) noexcept {
  if (bias_.load(std::memory_order_relaxed) != 0) return false;
  fenced = reads_.load(std::memory_order_relaxed) < k_enough;
  if (!fenced) return true;
  if (!has_met || !others_run_beside()) return false;
  const std::int32_t n = meetings_.load(std::memory_order_relaxed);
  if (n <= 0) meetings_.store(n + 1, std::memory_order_relaxed);
  return n >= 0;
}

// By a reader that the word counts: after k_enough reads, or `has_met` others there.
void rw_mutex::bias_reads(bool has_met) noexcept {
  bool fenced = false;
  if (!is_bias_due(has_met, fenced)) return;
  sched::runtime_section section;
  sched::hall& h = sched::hall_of(&state_);
  if (!h.lock.try_lock()) return;
  // A bit that speaks of nobody any more (those in line went with their run) would keep a bias away for good.
  const lines at{h, &state_};
  if ((state_.load(std::memory_order_relaxed) & k_called) != 0 && at.next() == nullptr)
    state_.fetch_and(~k_called, std::memory_order_relaxed);
  begin_bias(fenced);
  h.lock.unlock();
}

// By a reader that has come by the fenced bias.
void rw_mutex::count_fenced_reads() noexcept {
  const std::int32_t n = std::min(reads_.load(std::memory_order_relaxed), k_enough) + k_fenced_reads;
  reads_.store(std::min(n, k_enough), std::memory_order_relaxed);
  if (n < k_enough) return;
  sched::runtime_section section;
  sched::hall& h = sched::hall_of(&state_);
  if (!h.lock.try_lock()) return;
  if ((bias_.load(std::memory_order_relaxed) & k_fenced) != 0) {
    end_bias();
    begin_bias(false);
  }
  h.lock.unlock();
}

bool rw_mutex::lock_shared_fenced() noexcept {
  auto& self = *static_cast<sched::m*>(detail::this_cache());
  bool is_due = false;
  const bool is_done = sched::in_answered_window<sched::window_kind::fenced>(
      self, &state_, [this, &self, &is_due] {
        const std::uint64_t number = bias_.load(std::memory_order_seq_cst);  // with begin_bias() and end_bias()
        if (number == 0 || !self.reads.add(number & ~k_fenced)) return false;
        is_due = ++self.fenced_reads % static_cast<unsigned>(sched::are_delays_on() ? k_delayed_fenced_reads
                                                                                    : k_fenced_reads) ==
                 0;
        return true;
      });
  if (is_due) [[unlikely]]
    count_fenced_reads();
  return is_done;
}

bool rw_mutex::unlock_shared_fenced() noexcept {
  auto& self = *static_cast<sched::m*>(detail::this_cache());
  return sched::in_answered_window<sched::window_kind::fenced>(
             self, &state_,
             [this, &self] {
               const std::uint64_t number = bias_.load(std::memory_order_seq_cst);  // as above
               return number != 0 && self.reads.take(number & ~k_fenced);
             }) ||
         unlock_other_reader();
}

bool rw_mutex::lock_shared_biased() noexcept {
  if ((bias_.load(std::memory_order_relaxed) & k_fenced) != 0) return lock_shared_fenced();
  auto& self = *static_cast<sched::m*>(detail::this_cache());
  return sched::in_answered_window(self, &state_, counting(self, bias_));
}

bool rw_mutex::unlock_shared_biased() noexcept {
  auto& self = *static_cast<sched::m*>(detail::this_cache());
  if (&self == &sched::nobody) [[unlikely]]
    return unlock_other_reader();
  if ((bias_.load(std::memory_order_relaxed) & k_fenced) != 0) return unlock_shared_fenced();
  if (sched::are_delays_on()) [[unlikely]]
    return unlock_shared_delayed();
  bool must_answer = false;
  const bool is_done = sched::in_window<false>(self, &state_, must_answer, uncounting(self, bias_));
  if (!is_done || must_answer) [[unlikely]]
    return unlock_shared_rest(is_done, must_answer);
  return true;
}

bool rw_mutex::unlock_shared_delayed() noexcept {
  sched::m& self = *sched::current();
  return sched::in_delayed_window(self, &state_, uncounting(self, bias_)) || unlock_other_reader();
}
bool rw_mutex::unlock_shared_rest(bool is_done, bool must_answer) noexcept {
  if (must_answer) sched::detail_m::answer_deferred(*sched::current());
  return is_done || unlock_other_reader();
}

// One that the own table does not count: from the word; or there is no bias any more, and the caller subtracts.
bool rw_mutex::unlock_other_reader() noexcept {
  std::uint32_t state = state_.load(std::memory_order_relaxed);
  while (readers_in(state) > 0)
    // Release: with who ends the bias.
    if (state_.compare_exchange_weak(state, state - k_reader, std::memory_order_release,
                                     std::memory_order_relaxed))
      return true;
  sched::runtime_section section;
  sched::hall& h = sched::hall_of(&state_);
  heap::lock_guard held(h.lock);
  end_bias();
  return false;
}

void rw_mutex::begin_shared() { sched::take_long_way(); }

void rw_mutex::lock_shared_slow() {
  if (spin_for_readers(state_)) return;
  sched::place w(readers_of(&state_), sched::wait_reason::rw_mutex_read, heir_of_reader);
  const lines at{w.home, &state_};
  sched::wake_up next;
  sched::enter_section();
  {
    heap::lock_guard held(w.home.lock);
    if (!take_as_reader(state_, at, &w, true)) {
      w.home.append(w);
      // Its count, which is gone now, may have kept a writer out. Relaxed: who else brings it to 0 looks too.
      if ((state_.load(std::memory_order_relaxed) & ~(k_line | k_called)) == 0) next = call(at.next());
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
  if (before < k_reader) report_not_read();
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
