// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// What contexts are made of; sched/cancel.cc. Internal.
//
// A context is a node that refers to the one that it was made of. Nodes that can be cancelled know those below them, as
// long as neither is cancelled, in a list that the lock of the upper one protects; functions of after_func are in
// it too. Cancelling takes the whole list off a node under its lock; from then on the links of what was in it
// belong to who cancels, who goes through the tree by them, without recursion.
#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <optional>
#include <stop_token>

#include "cairn/chan.h"
#include "cairn/cleanup.h"
#include "cairn/gc_ptr.h"
#include "cairn/timer.h"

namespace cairn::detail {

struct cancel_node;

struct context_node {
  gc_ptr<context_node> parent;
  gc_ptr<cancel_node> canceller;   // itself or the next one above that can be cancelled; null: never
  const void* key_type = nullptr;  // of a node with a value
};

// In the list of a cancel_node.
struct context_link {
  void (*fire)(context_link& self) = nullptr;  // of a function; null: a cancel_node
  bool is_linked = false;                      // under the lock of the node above
  gc_ptr<context_link> next, previous;
};

struct context_cause {
  std::exception_ptr why;
};
struct context_source {
  std::stop_source source;
};

struct cancel_node : context_node, context_link {
  alignas(std::uint32_t) unsigned char lock[4] = {};  // a heap::lock, taken in sections
  std::atomic<int> code{0};        // of context_errc; under the lock. Release: `cause` was written before
  std::atomic<bool> over{false};   // and `channel`, if there is one, was closed
  gc_ptr<cancel_node> above;       // in whose list it is, or was
  gc_ptr<context_link> children;   // under the lock, as are the next ones
  gc_ptr<context_cause> cause;     // null: what the code says
  gc_ptr<chan_core> channel;       // null: nobody has asked for it
  gc_ptr<context_source> stopper;  // likewise
  std::optional<timer> alarm;
  std::optional<std::chrono::steady_clock::time_point> deadline;  // constant
};

// A new node below `parent`, which may be null.
cancel_node* make_cancel_node(context_node* parent);
// Puts it in the list of the node above it; if that is cancelled, it is too.
void link_cancel_node(cancel_node& node);
// The node and all below it, unless it is cancelled already.
void cancel_context(cancel_node& node, int code, context_cause* cause);
void cancel_by_deadline(cancel_node& node, std::chrono::steady_clock::time_point when);
// False: it is cancelled, so the function has to be called now.
bool link_function(cancel_node& node, context_link& function);
bool unlink_function(cancel_node& node, context_link& function) noexcept;
recv_chan<void> done_channel(cancel_node& node);
// Waits until the channel is closed, if the node is cancelled.
int context_code(const cancel_node& node);
std::stop_source& stopper_of(cancel_node& node);

}  // namespace cairn::detail
