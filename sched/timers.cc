// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/timers.h"

#include <algorithm>
#include <bit>

#include "cairn/detail/assert.h"
#include "heap/delay.h"
#include "heap/metadata.h"
#include "heap/os.h"
#include "heap/pause.h"
#include "sched/m.h"

namespace cairn::sched {
namespace {

// Waits for the end of a claim: a few instructions of a reset, or the function of a timer. Who claims is in a section,
// so it runs unless the system has taken its processor.
class claim_wait {
 public:
  void once() noexcept {
    if (++rounds_ < 100) {
      heap::cpu_relax();
    } else {
      heap::yield_cpu();
    }
  }

 private:
  int rounds_ = 0;
};

std::size_t round_up(std::size_t n, std::size_t to) noexcept { return (n + to - 1) / to * to; }

// A start before the clock's start is one at its start: differences of times do not overflow.
std::int64_t valid(std::int64_t when) noexcept { return std::max<std::int64_t>(when, 0); }

}  // namespace

// ---- slots ----

std::uintptr_t timers::word_of(const timer& t) noexcept {
  return reinterpret_cast<std::uintptr_t>(&t) | (t.is_weak ? k_weak : 0);
}

unsigned timers::chunk_of(std::uint32_t slot) noexcept {
  return static_cast<unsigned>(std::bit_width(slot / k_first_chunk + 1)) - 1;
}

timer_slot& timers::slot_at(std::uint32_t number) noexcept {
  const unsigned k = chunk_of(number);
  return chunks_[k].slots[number + k_first_chunk - chunk_slots(k)];
}

timer_slot* timers::take_slot() noexcept {
  while (lowest_ < k_chunks && chunks_[lowest_].slots != nullptr &&
         chunks_[lowest_].used == chunk_slots(lowest_))
    ++lowest_;
  if (lowest_ == k_chunks) return nullptr;
  chunk& c = chunks_[lowest_];
  if (c.slots == nullptr) {
    c.slots = static_cast<timer_slot*>(heap::metadata_map(chunk_slots(lowest_) * sizeof(timer_slot)));
    if (c.slots == nullptr) return nullptr;
  }
  const std::uint32_t first = chunk_slots(lowest_) - k_first_chunk;
  timer_slot* s;
  if (c.free != 0) {
    s = &c.slots[c.free - 1 - first];
    c.free = s->next_free;
  } else {
    s = &c.slots[c.carved];
    s->owner = this;
    s->number = first + c.carved++;
  }
  ++c.used;
  return s;
}

// The word of the slot is 0, and no entry has it.
void timers::give_slot(timer_slot& s) noexcept {
  const unsigned k = chunk_of(s.number);
  chunk& c = chunks_[k];
  s.next_free = c.free;
  c.free = s.number + 1;
  --c.used;
  lowest_ = std::min(lowest_, k);
  // An empty chunk's memory goes back if much of it was used since the last time. Its words are 0 before, meanwhile and
  // after, so who stops a timer that was in it finds that the slot names no timer, which is right.
  constexpr std::uint32_t k_worth_it = 2048;
  if (c.used != 0 || c.carved < k_worth_it || c.carved < chunk_slots(k) / 2) return;
  heap::os& os = heap::the_os();
  os.give_back(c.slots, round_up(chunk_slots(k) * sizeof(timer_slot), os.physical_page_bytes()));
  c.carved = c.free = 0;  // whether it could or not: what the slots held is not relied on any more
}

// ---- entries ----

// Entries lie so that the four children of one share a cache line: entry 1 starts a line.
static constexpr std::size_t k_skew = 3;

// Room for one more.
bool timers::reserve_entry() noexcept {
  const std::size_t count = count_.load(std::memory_order_relaxed);
  if (count < capacity_) return true;
  heap::os& os = heap::the_os();
  const std::size_t bytes = (capacity_ + k_skew) * sizeof(entry);
  const std::size_t wanted = capacity_ == 0 ? os.physical_page_bytes() : 2 * bytes;
  auto* memory = static_cast<entry*>(heap::metadata_map(wanted));
  if (memory == nullptr) return false;
  std::copy_n(entries_, count, memory + k_skew);
  if (capacity_ != 0) {
    os.release(entries_ - k_skew, bytes);
    heap::metadata_note(-static_cast<std::ptrdiff_t>(bytes));
  }
  entries_ = memory + k_skew;
  capacity_ = wanted / sizeof(entry) - k_skew;
  touched_ = count;
  return true;
}

// Gives the memory of the upper half of the entries that were used back to the system. The mapping stays.
void timers::return_entries() noexcept {
  heap::os& os = heap::the_os();
  const std::size_t page = os.physical_page_bytes();
  const std::size_t from = round_up((touched_ / 2 + k_skew) * sizeof(entry), page);
  const std::size_t to = round_up((touched_ + k_skew) * sizeof(entry), page);
  touched_ /= 2;
  if (from < to) os.give_back(reinterpret_cast<char*>(entries_ - k_skew) + from, to - from);
}

bool timers::before(const entry& a, const entry& b) noexcept {
  return a.when != b.when ? a.when < b.when : static_cast<std::int32_t>(a.order - b.order) < 0;
}

// Below 2^31 where it is random, so that before() orders all of them. (Knuth's generator; the high bits are good.)
std::uint32_t timers::next_order() noexcept {
  if (!is_random_) return order_++;
  order_ = order_ * 1664525u + 1013904223u;
  return order_ >> 1;
}

// `at` is a hole; puts e there or above.
void timers::sift_up(std::size_t at, entry e) noexcept {
  while (at != 0) {
    const std::size_t parent = (at - 1) / 4;
    if (!before(e, entries_[parent])) break;
    entries_[at] = entries_[parent];
    at = parent;
  }
  entries_[at] = e;
}

// `at` is a hole; puts e there or below.
void timers::sift_down(std::size_t at, entry e) noexcept {
  const std::size_t count = count_.load(std::memory_order_relaxed);
  for (std::size_t child; (child = 4 * at + 1) < count;) {
    const std::size_t end = std::min(child + 4, count);
    std::size_t least = child;
    while (++child < end) {
      if (before(entries_[child], entries_[least])) least = child;
    }
    if (!before(entries_[least], e)) break;
    entries_[at] = entries_[least];
    at = least;
  }
  entries_[at] = e;
}

void timers::remove_at(std::size_t at) noexcept {
  const std::uint32_t last = count_.load(std::memory_order_relaxed) - 1;
  count_.store(last, std::memory_order_relaxed);
  const entry moved = entries_[last];
  if (at < last) {
    if (at != 0 && before(moved, entries_[(at - 1) / 4])) {
      sift_up(at, moved);
    } else {
      sift_down(at, moved);
    }
  }
  constexpr std::size_t k_worth_it = 4096;
  if (touched_ > k_worth_it && last < touched_ / 4) return_entries();
}

void timers::put_off_top(std::int64_t when) noexcept {
  entry e = entries_[0];
  e.when = when;
  e.order = next_order();
  sift_down(0, e);
}

// ---- zombies ----

bool timers::too_many_zombies() const noexcept {
  return zombies() > count_.load(std::memory_order_relaxed) / 4;
}

void timers::remove_zombie(std::size_t at, timer_slot& s) noexcept {
  remove_at(at);
  give_slot(s);
  // Release: with zombies().
  removed_.store(removed_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
}

// Looks at some entries, from the last to the first and round again.
void timers::clean() noexcept {
  for (int n = 0; n < k_most_at_once && too_many_zombies(); ++n) {
    const std::size_t count = count_.load(std::memory_order_relaxed);
    if (cursor_ == 0 || cursor_ > count) cursor_ = count;
    if (cursor_ == 0) return;
    --cursor_;
    timer_slot& s = slot_at(entries_[cursor_].slot);
    // Acquire: pairs with make_zombie, so that whoever gets the slot next comes after it.
    if (s.word.load(std::memory_order_acquire) == 0) remove_zombie(cursor_, s);
  }
}

std::size_t timers::active() const noexcept {
  const std::size_t dead = zombies();
  const std::size_t all = count_.load(std::memory_order_relaxed);
  return all < dead ? 0 : all - dead;
}

std::size_t timers::zombies() const noexcept {
  // First, and acquire: whoever removed one had seen it made, so the others are no older.
  const std::uint32_t removed = removed_.load(std::memory_order_acquire);
  return made_by_owner_.load(std::memory_order_relaxed) + made_by_others_.load(std::memory_order_relaxed) -
         removed;
}

// ---- start, stop, reset ----

void timers::publish_earliest() noexcept {
  // Release: pairs with earliest(). Who starts a timer that the sleeper has to know of fences behind this.
  earliest_.store(count_.load(std::memory_order_relaxed) == 0 ? k_never : entries_[0].when,
                  std::memory_order_release);
}

// Null: no memory, nothing changed.
timer_slot* timers::insert(timer& t, std::int64_t when, std::uintptr_t word) noexcept {
  if (!reserve_entry()) return nullptr;
  timer_slot* s = take_slot();
  if (s == nullptr) return nullptr;
  s->when.store(when, std::memory_order_relaxed);
  // Release, both: claim finds the slot through the timer, and claim_due the timer through the slot.
  s->word.store(word, std::memory_order_release);
  t.slot.store(s, std::memory_order_release);
  const std::uint32_t count = count_.load(std::memory_order_relaxed);
  count_.store(count + 1, std::memory_order_relaxed);
  touched_ = std::max<std::size_t>(touched_, count + 1);
  sift_up(count, {when, next_order(), s->number});
  return s;
}

timer_change timers::start(timer& t, std::int64_t when, std::int64_t period) noexcept {
  t.period = period;
  const heap::lock_guard guard(lock_);
  const std::int64_t earliest_before = earliest_.load(std::memory_order_relaxed);
  if (too_many_zombies()) clean();
  const bool done = insert(t, valid(when), word_of(t)) != nullptr;
  publish_earliest();
  return {done, false, done && earliest_.load(std::memory_order_relaxed) < earliest_before};
}

// The timer's slot, with the caller's claim on it; null if the timer is not active.
timer_slot* timers::claim(timer& t) noexcept {
  const std::uintptr_t active = word_of(t);
  for (claim_wait wait;;) {
    timer_slot* s = t.slot.load(std::memory_order_acquire);  // with insert
    if (s == nullptr) return nullptr;
    std::uintptr_t seen = active;
    // Acquire, on failure too: pairs with the end of the last claim, so that the function's work happened before.
    if (s->word.compare_exchange_strong(seen, active | k_claimed, std::memory_order_acquire,
                                        std::memory_order_acquire))
      return s;
    if (seen == (active | k_claimed)) {
      wait.once();
    } else if (t.slot.load(std::memory_order_acquire) == s) {
      return nullptr;
    }
  }
}

// Ends the caller's claim. Counted first: whoever removes it, after which the slot's memory may be gone, finds
// it counted.
void timers::make_zombie(timer_slot& s, timers* own) noexcept {
  timers& at = *s.owner;
  if (&at == own) {
    at.made_by_owner_.store(at.made_by_owner_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  } else {
    at.made_by_others_.fetch_add(1, std::memory_order_relaxed);
  }
  s.word.store(0, std::memory_order_release);  // with claim, clean and claim_due
}

bool timers::stop(timer& t, timers* own) noexcept {
  timer_slot* s = claim(t);
  if (s == nullptr) return false;
  heap::maybe_delay("timer claimed for stop");
  make_zombie(*s, own);
  return true;
}

// Moves a timer from the slot that the caller has claimed to a new one of this heap. The claim ends if that was done.
// The two words overlap, so that for_each misses no timer, and the new one is claimed as long as the old one names the
// timer, so that nobody fires or frees it meanwhile.
timer_change timers::take_over(timer_slot& from, timer& t, std::int64_t when) noexcept {
  const heap::lock_guard guard(lock_);
  const std::int64_t earliest_before = earliest_.load(std::memory_order_relaxed);
  if (too_many_zombies()) clean();
  timer_slot* s = insert(t, when, word_of(t) | k_claimed);
  publish_earliest();
  if (s == nullptr) return {false, true, false};
  heap::maybe_delay("timer in two slots");
  make_zombie(from);
  s->word.store(word_of(t), std::memory_order_release);  // ends the claim: with claim, claim_due
  return {true, true, earliest_.load(std::memory_order_relaxed) < earliest_before};
}

timer_change timers::reset(timer& t, std::int64_t when, std::int64_t period) noexcept {
  timer_slot* s = claim(t);
  if (s == nullptr) return start(t, when, period);
  heap::maybe_delay("timer claimed for reset");
  const std::int64_t old_period = t.period;
  t.period = period;
  when = valid(when);
  timer_change change{true, true, false};
  if (when < s->when.load(std::memory_order_relaxed)) {
    change = take_over(*s, t, when);
    if (change.done) return change;
    t.period = old_period;
  } else {
    s->when.store(when, std::memory_order_relaxed);
  }
  s->word.store(word_of(t), std::memory_order_release);  // ends the claim: with claim, claim_due
  return change;
}

// ---- running ----

// The slot of the first timer if that is due, claimed; its entry is the first one. Else null, and then the first
// entry's time is that of a timer, unless a claimed timer is due or the steps, each a sift, are used up: run_due comes
// again for that.
timer_slot* timers::claim_due(std::int64_t now, int& steps) noexcept {
  while (count_.load(std::memory_order_relaxed) != 0 && --steps >= 0) {
    const entry top = entries_[0];
    timer_slot& s = slot_at(top.slot);
    std::uintptr_t word = s.word.load(std::memory_order_acquire);  // with the ends of claims
    const std::int64_t when = s.when.load(
        std::memory_order_relaxed);  // goes up only, so it may be used at once
    if (word == 0) {
      remove_zombie(0, s);
    } else if (when > top.when) {
      put_off_top(when);
    } else if (when > now || (word & k_claimed) != 0) {
      return nullptr;
    } else if (s.word.compare_exchange_strong(word, word | k_claimed, std::memory_order_acquire,
                                              std::memory_order_relaxed)) {
      if (s.when.load(std::memory_order_relaxed) == when) return &s;
      s.word.store(word, std::memory_order_release);  // was put off between the two looks; with the next claim
    }
  }
  return nullptr;
}

// Of the first entry's timer, which the caller has claimed and is about to fire. False: it was a one-shot timer, and
// its entry is gone.
bool timers::arm_again(timer_slot& s, timer& t, std::int64_t now) noexcept {
  if (t.period <= 0) {
    remove_at(0);
    return false;
  }
  const std::int64_t when = entries_[0].when;
  std::int64_t next = 0;
  if (__builtin_add_overflow(now - (now - when) % t.period, t.period, &next)) next = k_never;
  s.when.store(next, std::memory_order_relaxed);
  put_off_top(next);
  return true;
}

std::int64_t timers::run_due(std::int64_t now) noexcept {
  if (earliest() > now && !too_many_zombies()) return earliest();
  timer_slot* fired = nullptr;  // its timer is not active any more
  int steps = k_most_at_once;   // a timer costs at least one
  for (bool first = true;; first = false) {
    timer_slot* due = nullptr;
    timer* t = nullptr;
    std::uintptr_t next = 0;  // the slot's word
    {
      const heap::lock_guard guard(lock_);
      if (fired != nullptr) give_slot(*fired);
      if (first && too_many_zombies()) clean();
      due = claim_due(now, steps);
      if (due != nullptr) {
        const std::uintptr_t word = due->word.load(std::memory_order_relaxed);
        t = timer_of(word);
        if (arm_again(*due, *t, now)) next = word & ~k_claimed;
      }
      publish_earliest();
    }
    if (due == nullptr) return earliest();
    heap::maybe_delay("timer about to fire");
    t->call(*t, now);
    heap::maybe_delay("timer fired");
    // Release: pairs with claim, which waits for this. A one-shot timer may be gone by now.
    due->word.store(next, std::memory_order_release);
    fired = next != 0 ? nullptr : due;
  }
}

// f(slot, timer) of each active timer of which is_wanted(word) is true, claimed, until it is false; f ends the claim if
// it is true. The timer may be looked into by f only. In sections of its own, for a cycle that runs on a goroutine does
// not stand in one: while it looks at a million slots others may stop or freeze it.
template <class W, class F>
bool timers::claim_each(W&& is_wanted, F&& f) noexcept {
  for (unsigned k = 0; k < k_chunks; ++k) {
    chunk c;
    {
      const runtime_section section;
      const heap::lock_guard guard(lock_);
      c = chunks_[k];
    }
    claim_wait wait;
    for (std::uint32_t i = 0; i < c.carved;) {
      timer_slot& s = c.slots[i];
      std::uintptr_t word = s.word.load(std::memory_order_acquire);  // with the ends of claims
      if (word == 0 || !is_wanted(word)) {
        ++i;
      } else if ((word & k_claimed) != 0) {
        wait.once();
      } else {
        const runtime_section section;
        if (!s.word.compare_exchange_strong(word, word | k_claimed, std::memory_order_acquire,
                                            std::memory_order_relaxed))
          continue;
        if (!f(s, *timer_of(word))) {
          s.word.store(word, std::memory_order_release);  // with the next claim
          return false;
        }
      }
    }
  }
  return true;
}

static bool is_any(std::uintptr_t) noexcept { return true; }

bool timers::move_all_to(timers& other) noexcept {
  const bool done = claim_each(is_any, [&other](timer_slot& s, timer& t) {
    return other.take_over(s, t, s.when.load(std::memory_order_relaxed)).done;
  });
  while (done) {
    const heap::lock_guard guard(lock_);
    clean();
    publish_earliest();
    if (!too_many_zombies()) break;
  }
  return done;
}

void timers::stop_dead(bool (*is_dead)(const timer* t) noexcept) noexcept {
  claim_each([is_dead](std::uintptr_t word) { return (word & k_weak) != 0 && is_dead(timer_of(word)); },
             [](timer_slot& s, timer&) {
               heap::maybe_delay("timer found dead");
               make_zombie(s);
               return true;
             });
}

void timers::stop_all(void (*f)(timer& t) noexcept) noexcept {
  claim_each(is_any, [f](timer_slot& s, timer& t) {
    f(t);
    make_zombie(s);
    return true;
  });
  while (run_due(k_never - 1) != k_never) {
  }
}

}  // namespace cairn::sched
