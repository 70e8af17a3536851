// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Channels: their memory, their lock, and who waits at them.
//
// A channel is a collected object: a header, and behind it a ring of elements of a fixed number of bytes. Elements are
// moved as words, under the channel's lock; no function of the program's runs in here. (A T that cannot be moved so
// travels in a box, whose address is the element: include/cairn/detail/element.h.)
//
// Shape. As in Go: somebody who can go on never waits in line. Of the two queues one is empty, but for selects that
// wait in both and for places that have lost (below). Senders wait only while the ring is full, receivers only while it
// is empty. So a sender that finds a receiver hands its element over, straight into the slot on the receiver's
// stack; a receiver that finds a sender takes the oldest of the ring, and puts the sender's behind the youngest.
// First in, first out, for the elements and for those that wait.
//
// Waiting. A place (detail::chan_case) lies on the stack of who waits, with a chan_wait. Whoever takes it out of the
// queue fills or empties its slot under the lock, writes the outcome, and wakes its owner after the lock has been
// released. A goroutine parks with the lock held; it is released on the next stack. Threads that are no
// goroutines sleep on a word.
//
// Select. One chan_wait, one place per case. The CAS of chan_wait::claimed elects the case: it is made with the lock of
// the case's channel, by who would complete it, or by who drops the goroutine. A place whose owner has been claimed
// elsewhere has lost: whoever meets it takes it out and goes on to the next one. Its owner takes out the rest when it
// wakes. Several locks at once are taken in the order of the channels' addresses.
//
// The collector. The slot of a waiting receiver is on a stack that may be black, and which its goroutine does not look
// at before it runs. So whoever writes into it shades the words it has written, as it does for the ring; and what
// leaves the ring is shaded too, before it is cleared there. All of this, with the look at the barrier's flag, is
// in one section, so no handshake comes between. A marker that scans the stack at the same time finds the old or the
// new word; both are shaded or on a stack that will be scanned. Words are therefore copied as words.
//
// Without the lock. `count`, `closed` and the first places are written under the lock (release) and may be read
// without it (acquire). A full channel does not become closed and then ready to be sent to; an empty one that is
// not closed now was not closed when it was found empty. So one look suffices for try_send and try_recv, after a
// fence, as unlocking is none: the look might come before the stores of what the same thread did last. A select
// with a default needs one moment in which none of its cases was ready: the lock's word says whether somebody holds
// it, and changes with every use; if none was held, nor has changed since before the looks, there was one.
//
// Rejected: an element type's move run under the lock (it may throw, park, collect, or use the channel). A lock
// per end of the ring, or a ring without one: selects and hand-over need both ends at once. heap/lock.h:
// unlocking by exchange, to find sleepers, doubles the price of an uncontended send, and a bias
// (sched/biased_lock.h) halves it.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "cairn/detail/channel.h"
#include "sched/biased_lock.h"
#include "sched/goroutine.h"

namespace cairn::sched {

using detail::chan_case;
using detail::chan_status;

// Who waits: on its own stack.
struct chan_wait : loose_end {
  goroutine* g = nullptr;               // null: a thread, on `woken`
  std::atomic<std::uint32_t> woken{0};  // release by the waker, acquire by the thread
  bool is_select = false;
  std::atomic<bool> claimed{false};  // of a select: by CAS, acquire and release
  bool closed = false;               // written by who has claimed it, as is the next
  chan_case* taken = nullptr;
  chan_case* cases = nullptr;  // of a select: all of them
  std::size_t n = 0;
  chan_wait* next_woken = nullptr;  // of those that a close wakes
};

// Under the channel's lock; `first` is read without it, too.
struct chan_queue {
  std::atomic<chan_case*> first{nullptr};
  chan_case* last = nullptr;

  bool empty() const noexcept { return first.load(std::memory_order_acquire) == nullptr; }
  void append(chan_case& k) noexcept;
  void remove(chan_case& k) noexcept;
  // The first whose owner is still to be had: taken out, and claimed.
  chan_case* claim_first() noexcept;
};

}  // namespace cairn::sched

namespace cairn::detail {

struct alignas(16) chan_core {
  sched::biased_lock lock;
  std::atomic<std::size_t> count{0};  // elements in the ring
  std::size_t capacity = 0;
  std::size_t oldest = 0;  // index of the next element to be received
  std::size_t free = 0;    // and of where the next one is put
  std::uint32_t element_bytes = 0;
  std::uint16_t n_spare = 0;
  bool noscan = false;
  std::atomic<bool> closed{false};
  sched::chan_queue receivers, senders;
  chan_box* spare = nullptr;  // empty boxes
  std::uint32_t bubble = 0;   // id of the one that it was made in, and may be used in; 0: none

  char* ring() noexcept { return reinterpret_cast<char*>(this + 1); }
  char* element(std::size_t i) noexcept { return ring() + i * element_bytes; }
};
static_assert(sizeof(chan_core) == k_chan_header_bytes);

}  // namespace cairn::detail

namespace cairn::sched {

using detail::chan_core;

// ---- with the channel's lock ---------------------------------------------------------------------------------------

// Makes the communication if that is possible now. `peer`: who waited for it, and is to be woken after the lock was
// released.
chan_status put(chan_core& c, const void* element, chan_wait*& peer) noexcept;
chan_status take(chan_core& c, void* slot, chan_wait*& peer) noexcept;

// ---- without -------------------------------------------------------------------------------------------------------

// False: at one moment during the call it was not. Full first: it was open at that moment if it is afterwards.
// (The other way round an unbuffered channel's close may have emptied the queue in between.)
inline bool may_be_sent_to(const chan_core& c) noexcept {
  const bool is_full = c.capacity == 0 ? c.receivers.empty()
                                       : c.count.load(std::memory_order_acquire) == c.capacity;
  return !is_full || c.closed.load(std::memory_order_acquire);
}
inline bool has_none(const chan_core& c) noexcept {
  return c.capacity == 0 ? c.senders.empty() : c.count.load(std::memory_order_acquire) == 0;
}
inline bool may_be_received_from(const chan_core& c) noexcept {
  return !has_none(c) || c.closed.load(std::memory_order_acquire);
}
// Before a look from which the program will learn that there is nothing: what the thread has sent and received before
// leaves its store buffer. Of two who send, and then look at what the other one has sent, one finds it. (Who
// takes the lock needs no such fence: who comes later has seen all that was done before.)
inline void fence_before_look() noexcept { std::atomic_thread_fence(std::memory_order_seq_cst); }

// Its owner goes on. In a section, or on a thread without an m; `w` may be gone afterwards.
void wake(chan_wait& w) noexcept;
// Sleeps until it is woken, on a thread that is no goroutine. At depth 0.
void sleep_as_thread(chan_wait& w);
// Waits for what never comes.
[[noreturn]] void block_for_ever(wait_reason why);

// Whoever waits for the box learns that nobody will fill it. As wake.
void break_promise(detail::chan_box& box) noexcept;

// For timers: sends, if that is possible without waiting. In a section or on a thread without an m; runs nothing of
// the program's. The channel is one of `element_bytes` and its elements are no pointers.
bool offer(chan_core& c, const void* element) noexcept;
// Likewise: takes back what lies in the ring. False if nothing does.
bool withdraw(chan_core& c, void* slot) noexcept;

}  // namespace cairn::sched
