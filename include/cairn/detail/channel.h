// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Channels as the library sees them: elements without a type. How a T becomes one is in detail/element.h; the
// protocol is in sched/chan.h.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "cairn/detail/entry.h"

namespace cairn::sched {
struct chan_wait;
}

namespace cairn::detail {

struct chan_core;

enum class chan_status : std::uint8_t {
  done,
  closed,   // a receive: and drained
  blocked,  // nothing happened
};

// A communication that somebody would make: an argument of select, or a send or a receive that waits. It lies on the
// stack of whoever makes it, or where that keeps it. The first four are the caller's, the rest is the library's.
struct chan_case {
  chan_core* channel = nullptr;  // null: it never happens
  void* slot = nullptr;          // the element: to be read, or to be written
  bool is_send = false;
  bool is_promise = false;  // a send of a box that is filled once the case is taken
  bool queued = false;      // in a queue of the channel; under its lock, as are the next three
  sched::chan_wait* wait = nullptr;
  chan_case* next = nullptr;
  chan_case* previous = nullptr;
  std::uint64_t version = 0;    // of the channel's lock
  std::uint32_t poll = 0;       // the i-th of them: the index of the case that is looked at as the i-th
  std::uint32_t lock_rank = 0;  // likewise: whose channel is locked as the i-th
};

// ---- channels ------------------------------------------------------------------------------------------------------

// Throws std::length_error or std::bad_alloc. `noscan`: the collector need not look at the elements.
[[nodiscard]] chan_core* make_chan_core(std::size_t capacity, std::size_t element_bytes, bool noscan);
inline constexpr std::size_t k_chan_header_bytes = 112;
// The same in zeroed memory that is large enough.
[[nodiscard]] chan_core* init_chan_core(void* memory, std::size_t capacity, std::size_t element_bytes,
                                        bool noscan) noexcept;
// These wait as long as they have to; a null channel's for ever. They attach the thread.
[[nodiscard]] chan_status chan_send(chan_core* c, const void* element);
[[nodiscard]] chan_status chan_recv(chan_core* c, void* slot);
[[nodiscard]] chan_status chan_try_send(chan_core* c, const void* element);
[[nodiscard]] chan_status chan_try_recv(chan_core* c, void* slot);
// It may be that an element can be sent. Without the lock.
[[nodiscard]] bool chan_may_take(const chan_core* c) noexcept;
[[nodiscard]] bool chan_is_closed(const chan_core* c) noexcept;  // likewise
void chan_close(chan_core* c);                                   // throws closed_channel, null_channel
// Of a channel that is no bubble's, or of one by who is outside of it: a context is cancelled. It is not closed yet.
void chan_close_from_anywhere(chan_core* c);
std::size_t chan_len(const chan_core* c) noexcept;
std::size_t chan_cap(const chan_core* c) noexcept;
[[noreturn]] void throw_sent_on_closed();

// ---- select --------------------------------------------------------------------------------------------------------

struct selected {
  std::size_t index;  // n: the default
  chan_status status;
};
[[nodiscard]] selected select_cases(chan_case* cases, std::size_t n, bool has_default);

// ---- boxes ---------------------------------------------------------------------------------------------------------

// What goes through a channel instead of a T that cannot be moved as words: the address of a collected object that
// holds it. See detail/element.h.
struct chan_box {
  static constexpr std::uintptr_t k_settled = 0, k_pending = 1, k_failed = 2;
  // k_settled: what it holds is there. k_pending: it has been promised. pending -> the address of who waits, by
  // await_box, and back if that is dropped; -> settled or failed by who promised it (release; await_box acquires).
  std::atomic<std::uintptr_t> state{k_settled};
  chan_box* next = nullptr;  // in the channel's list of empty ones; under its lock
  bool holds = false;        // a T is in it
};
// An empty one that the channel keeps, or null. Attaches the thread, on whose stack it lies from here on.
[[nodiscard]] chan_box* take_spare_box(chan_core* c);
void give_spare_box(chan_core* c, chan_box* box) noexcept;
// False: whoever promised it did not keep the promise.
[[nodiscard]] bool await_box(chan_box& box);
// construct(arg) fills the box, which has been sent pending. What it throws is passed on, after the promise is broken;
// so it is if the goroutine ends meanwhile.
void keep_promise(chan_box& box, void (*construct)(void* arg), void* arg);

}  // namespace cairn::detail
