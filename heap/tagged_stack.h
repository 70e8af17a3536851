// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// A stack that any number of threads push to and pop from without a lock: a thread that the kernel takes off its
// processor in the middle of it keeps nobody waiting (Treiber's stack).
//
// Each pop reads the top t and t's link and then, in one step of 16 bytes, replaces (t, tag) by (link, tag + 1).
//
// Why that is right. Let the exchange find what was read, (t, tag). Every pop raises the tag, and 64 bits do not come
// round, so nothing was popped since the tag was read. So t, which was the top when it was read, has been in the stack
// from then on, and the link of an item in the stack does not change: the link that was read, after t, is t's link now.
// The two halves of the top are read one after the other, the tag first; if a push comes in between, t is younger than
// the tag, and the argument holds as it stands. A push depends on nothing but the link that it has written itself.
//
// What a pop reads of an item may be stale: another thread has it by now and has pushed it elsewhere. So
//   - links lie in memory that is never unmapped and always a link, and are atomic;
//   - an item lies in one stack at a time (pushed by who has it, its alone when it was popped).
//
// Orders. A push releases the item's contents and its link; a pop acquires them by its exchange, and by its first look
// for the link. Exchanges of others in between are read-modify-writes and keep the release sequence whole.
//
// Rejected: an index of 32 bits and a tag of 32 bits in a word (a table from indices to addresses that grows without a
// lock, and a tag that can come round in a long sleep); the upper 16 bits of a pointer as the tag (comes round in
// milliseconds).
#pragma once
#include <atomic>
#include <cstdint>

namespace cairn::heap {

// The base of what can lie in a tagged_stack. Written by who pushes; read by any who pops.
struct stack_link {
  std::atomic<stack_link*> next{nullptr};
};

class tagged_stack {
 public:
  constexpr tagged_stack() noexcept = default;
  tagged_stack(const tagged_stack&) = delete;
  tagged_stack& operator=(const tagged_stack&) = delete;

  void push(stack_link* item) noexcept { push_chain(item, item); }
  // `first` and what follows it by links that the caller has written, up to `last`.
  void push_chain(stack_link* first, stack_link* last) noexcept;
  // The item pushed last; null when there is none.
  stack_link* pop() noexcept;
  // Up to `most` of them at once, linked as they were in the stack; the last one's link leads to what is left there.
  // `taken`: how many. That the top was there from the look at the tag on holds for the links of those below it, too.
  stack_link* pop_chain(unsigned most, unsigned& taken) noexcept;
  // As of some moment during the call. Relaxed: who must not miss an item that was pushed learns of the push otherwise
  // (a handshake, a counter with acquire), and then this sees it.
  bool empty() const noexcept { return __atomic_load_n(&top_.item, __ATOMIC_RELAXED) == nullptr; }

 private:
  // Changed as a whole; the tag is the number of pops.
  struct alignas(16) top {
    stack_link* item = nullptr;
    std::uint64_t tag = 0;
  };
  static bool exchange(top& of, const top& expected, const top& wanted) noexcept;

  top top_;
};

}  // namespace cairn::heap
