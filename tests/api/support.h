// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// What tests of the public interface share: objects that know what they must contain, and ways to let go of
// objects for good. The collector looks at stacks conservatively, so a stale word may keep an object: tests make
// what has to die on a thread of its own (`apart`), use it in frames that are overwritten (`aside`), and wait for
// its death with a bound (`collect_until`).
#pragma once
#include <cairn/cairn.h>
#include <cairn/detail/annotate.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <utility>

#include "patience.h"

namespace cairn_test {

constexpr std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
  x = (x ^ x >> 27) * 0x94d049bb133111eb;
  return x ^ x >> 31;
}

// An object whose contents follow from its number, so that a freed and reused slot is noticed.
struct cell {
  cairn::gc_ptr<cell> next;
  std::uint64_t id = 0;
  std::uint64_t seal[4] = {};

  void stamp(std::uint64_t number) {
    id = number;
    for (std::uint64_t& s : seal) s = mix(number + static_cast<std::uint64_t>(&s - seal));
  }
  bool is(std::uint64_t number) const {
    if (id != number) return false;
    for (const std::uint64_t& s : seal)
      if (s != mix(number + static_cast<std::uint64_t>(&s - seal))) return false;
    return true;
  }
};

[[gnu::noinline]] inline cell* make_cell(std::uint64_t number, cell* next = nullptr) {
  cell* c = cairn::make_gc<cell>();
  c->stamp(number);
  c->next = next;
  return c;
}

// A list of cells numbered first, first + 1, ... in this order.
[[gnu::noinline]] inline cell* make_list(std::uint64_t first, std::size_t length) {
  cell* head = nullptr;
  for (std::size_t i = length; i-- > 0;) head = make_cell(first + i, head);
  return head;
}
[[gnu::noinline]] inline bool is_list(const cell* head, std::uint64_t first, std::size_t length) {
  for (std::size_t i = 0; i < length; ++i, head = head->next)
    if (head == nullptr || !head->is(first + i)) return false;
  return head == nullptr;
}

// Overwrites what calls that have returned left below the caller's frame. Not instrumented: the sanitizers' red zones
// would be gaps in what is overwritten.
#if defined(__clang__)
__attribute__((noinline, no_sanitize("address", "thread", "undefined")))
#else
__attribute__((noinline, no_sanitize_address, no_sanitize_thread, no_sanitize_undefined))
#endif
inline void
clear_stack() {
  std::uintptr_t words[16384];
  for (volatile std::uintptr_t& word : words) word = 0;
}

// Runs f on a thread of its own and waits: nothing of what it held stays on a stack.
template <class F>
void apart(F&& f) {
  std::thread([&] { f(); }).join();
}

// Runs f in a frame below the caller's, which the next collection overwrites: for uses of an object that is to die
// later. In the test's own frame they would leave its address, in variables of what was inlined.
template <class F>
[[gnu::noinline]] void aside(F&& f) {
  f();
}

// The same where nothing counts that earlier tests have left: the frame's gaps are zero when it begins, and so is what
// is below. (What they left there may be the address of a slot that was free then, and is an object of this test now.
// One such word keeps the whole of a list that is linked both ways.)
template <class F>
[[gnu::always_inline]] inline void on_clear_stack(F&& f) {
  clear_stack();
  aside(f);
}

// Allocates into the slots that a collection has freed.
[[gnu::noinline]] inline void churn(std::size_t cells = 4000) {
  for (std::size_t i = 0; i < cells; ++i) make_cell(0xbad0bad0bad00000 + i);
}

// What collects has a frame of its own below the test's, with gaps in it (large ones under AddressSanitizer): what
// earlier calls left there stays as long as it runs. So the stack is cleared before the call, from the test's frame.

namespace detail {
[[gnu::noinline]] inline void collect_and_churn() {
  cairn::gc::collect();
  churn();
}
template <class P>
[[gnu::noinline]] bool collect_and_wait(P& done) {
  patience left;
  while (true) {
    clear_stack();
    cairn::gc::collect();
    for (int i = 0; i < 20; ++i) {
      if (done()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    if (left.is_over()) return done();
  }
}
[[gnu::noinline]] inline void collect_leftovers() {
  patience left;
  std::size_t last = SIZE_MAX;
  for (int same = 0; same < 3 && !left.is_over();) {
    clear_stack();
    cairn::gc::collect();
    const std::size_t now = cairn::gc::read_stats().heap_objects;
    same = now == std::exchange(last, now) ? same + 1 : 0;
  }
}
}  // namespace detail

// For tests that count: collects until no object dies any more that earlier ones have left, on stacks or with a
// finalizer, or never collected.
[[gnu::always_inline]] inline void collect_leftovers() {
  clear_stack();
  detail::collect_leftovers();
}

// A collection after which dead cells do not look alive any more.
[[gnu::always_inline]] inline void collect_and_reuse() {
  clear_stack();
  detail::collect_and_churn();
}

// Collects until `done` holds. False when it does not within k_patience.
template <class P>
[[gnu::always_inline]] inline bool collect_until(P done) {
  clear_stack();
  return detail::collect_and_wait(done);
}

// Waits without collecting.
template <class P>
bool wait_until(P done) {
  patience left;
  while (!done()) {
    if (left.is_over()) return done();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

// Blocks the thread in a system call until `go_on` is set: in a futex. Under ThreadSanitizer, which keeps signals back
// while the kernel restarts that, in sleeps.
inline void block_until(const std::atomic<bool>& go_on) {
#if CAIRN_TSAN
  while (!go_on) std::this_thread::sleep_for(std::chrono::milliseconds(1));
#else
  go_on.wait(false);
#endif
}

// Of its own frame, so that the pointer which lock() gives is not left in the caller's.
template <class T>
[[gnu::noinline]] bool is_gone(const cairn::gc_weak<T>& w) {
  return w.lock().get() == nullptr;
}
template <class T>
[[gnu::always_inline]] inline bool dies(const cairn::gc_weak<T>& w) {
  return collect_until([&] { return is_gone(w); });
}

// Without a call that would let anybody else have the processor, or end a runtime section.
template <class P>
bool spin_until(P done) {
  patience left;
  while (!done())
    if (left.is_over()) return false;
  return true;
}

// Counts how many of them there are.
struct counted {
  explicit counted(std::atomic<int>& n) : alive(&n) { ++n; }
  counted(const counted& o) : alive(o.alive) { ++*alive; }
  ~counted() { --*alive; }
  std::atomic<int>* alive;
};

}  // namespace cairn_test
