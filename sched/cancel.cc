// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Contexts. The tree is described in cairn/detail/context_node.h.
//
// err() says nothing before the channel is closed: who cancels writes the code under the lock, closes the
// channel outside of it, and says so. Who comes between waits for the channel. A channel that is asked for only
// after that is closed before anybody gets it.
#include "cairn/context.h"

#include <new>
#include <string>
#include <utility>

#include "cairn/clock.h"
#include "cairn/make_gc.h"
#include "heap/delay.h"
#include "heap/lock.h"
#include "sched/goroutine.h"
#include "sched/m.h"

namespace cairn {

using namespace std::chrono;

namespace detail {
namespace {

// In a section.
class CAIRN_SCOPED_CAPABILITY locked {
 public:
  explicit locked(cancel_node& n) noexcept : lock_(reinterpret_cast<heap::lock&>(n.lock)) { lock_.lock(); }
  ~locked() { lock_.unlock(); }
  locked(const locked&) = delete;
  locked& operator=(const locked&) = delete;

 private:
  sched::runtime_section section_;
  heap::lock& lock_;
};
static_assert(sizeof(heap::lock) == sizeof(cancel_node::lock));

bool is_cancelled(const cancel_node& n) noexcept { return n.code.load(std::memory_order_relaxed) != 0; }

// With the lock of `above`.
void insert(cancel_node& above, context_link& link) noexcept {
  link.is_linked = true;
  link.next = above.children;
  link.previous = nullptr;
  if (above.children != nullptr) above.children->previous = &link;
  above.children = &link;
}
// With the lock of `above`, which is not cancelled.
void remove(cancel_node& above, context_link& link) noexcept {
  link.is_linked = false;
  if (link.previous != nullptr) link.previous->next = link.next;
  else above.children = link.next;
  if (link.next != nullptr) link.next->previous = link.previous;
  link.next = link.previous = nullptr;
}

// ---- below a stop token ---------------------------------------------------------------------------------------------

// The token's state is no root, so nothing but handles keeps the node that it calls; and who waits for a node's channel
// has no handle any more, nor has a function that is to be called. So the node is a root from the first such wait
// below it, and as long as a function is linked below it, until it is cancelled.
struct on_stop {
  cancel_node* node;  // the object that this lies in
  void operator()() const { cancel_context(*node, static_cast<int>(context_errc::canceled), nullptr); }
};
// Until its destructor has run, the token may call.
struct stop_node : cancel_node {
  std::optional<std::stop_callback<on_stop>> callback;
  std::atomic<unsigned> keepers{0};
  std::atomic<void**> kept{nullptr};  // a root of its own while there are keepers
};
constexpr char k_is_stop_node = 0;  // its address, as the type of a key that nobody has

stop_node* as_stop_node(cancel_node* n) noexcept {
  return n->key_type == &k_is_stop_node ? static_cast<stop_node*>(n) : nullptr;
}

void hold(stop_node& n) {
  void** none = nullptr;
  void** const slot = root_acquire(&n);
  if (!n.kept.compare_exchange_strong(none, slot, std::memory_order_acq_rel, std::memory_order_acquire))
    root_release(slot);
}
void let_go(stop_node& n) noexcept {
  if (void** slot = n.kept.exchange(nullptr, std::memory_order_acq_rel)) root_release(slot);
}

void keep_tokens_above(cancel_node& n) {
  for (cancel_node* at = &n; at != nullptr; at = at->above.get()) {
    stop_node* s = as_stop_node(at);
    if (s != nullptr && s->keepers.fetch_add(1, std::memory_order_acq_rel) == 0) hold(*s);
  }
}
// What keep_tokens_above kept. One that came between the last keeper's end and let_go has found the old root.
void free_tokens_above(cancel_node& n) noexcept {
  for (cancel_node* at = &n; at != nullptr; at = at->above.get()) {
    stop_node* s = as_stop_node(at);
    if (s == nullptr || s->keepers.fetch_sub(1, std::memory_order_acq_rel) != 1) continue;
    let_go(*s);
    if (s->keepers.load(std::memory_order_acquire) != 0) hold(*s);
  }
}

// ---- cancelling ----------------------------------------------------------------------------------------------------

// One node. Returns what is below it.
context_link* settle(cancel_node& n, int code, context_cause* cause) {
  context_link* below = nullptr;
  chan_core* channel = nullptr;
  context_source* stopper = nullptr;
  std::optional<timer> alarm;
  {
    const locked held(n);
    if (is_cancelled(n)) return nullptr;
    n.cause = cause;
    n.code.store(code, std::memory_order_release);  // with context::err
    below = n.children.get();
    n.children = nullptr;
    channel = n.channel.get();
    stopper = n.stopper.get();
    alarm.swap(n.alarm);
  }
  heap::maybe_delay("context.cancel");
  if (channel != nullptr) chan_close_from_anywhere(channel);
  n.over.store(true, std::memory_order_release);  // with context_code
  if (alarm) stop_timer_from_anywhere(timer_access::core(*alarm));
  if (stopper != nullptr) stopper->source.request_stop();
  if (stop_node* token = as_stop_node(&n)) let_go(*token);
  return below;
}

// Everything in the list, and below it. All of it, though a function cannot be started: then the first exception is
// rethrown at the end, for nobody could cancel the rest again.
void cancel_all(context_link* list, int code, context_cause* cause) {
  std::exception_ptr failure;
  while (list != nullptr) {
    context_link* link = list;
    list = link->next.get();
    link->next = link->previous = nullptr;
    if (link->fire != nullptr) {
      try {
        link->fire(*link);
      } catch (...) {
        if (!failure) failure = std::current_exception();
      }
      continue;
    }
    context_link* below = settle(static_cast<cancel_node&>(*link), code, cause);
    if (below == nullptr) continue;
    context_link* last = below;
    while (last->next != nullptr) last = last->next.get();
    last->next = list;
    list = below;
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace

cancel_node* make_cancel_node(context_node* parent) {
  auto* n = make_gc<cancel_node>().get();
  n->parent = parent;
  n->canceller = n;
  if (parent != nullptr && parent->canceller != nullptr) {
    n->above = parent->canceller;
    n->deadline = parent->canceller->deadline;
  }
  return n;
}

void link_cancel_node(cancel_node& n) {
  if (n.above == nullptr) return;
  cancel_node& above = *n.above;
  int code = 0;
  {
    const locked held(above);
    code = above.code.load(std::memory_order_relaxed);
    if (code == 0) insert(above, n);
  }
  if (code != 0) settle(n, code, above.cause.get());
}

namespace {

void unlink_cancel_node(cancel_node& n) noexcept {
  if (cancel_node* above = n.above.get()) {
    const locked held(*above);
    // Else its links belong to who cancels the one above.
    if (n.is_linked && !is_cancelled(*above)) remove(*above, n);
  }
}

}  // namespace

void cancel_context(cancel_node& n, int code, context_cause* cause) {
  begin_call();
  {
    // Others, of no run or of the next one, wait for what is below.
    const sched::end_later whole;
    unlink_cancel_node(n);
    cancel_all(settle(n, code, cause), code, cause);
  }
  begin_call();
}

namespace {

timer start_alarm(cancel_node& n, nanoseconds left) {
  try {
    return cairn::after_func(left, [node = &n] {
      cancel_context(*node, static_cast<int>(context_errc::deadline_exceeded), nullptr);
    });
  } catch (...) {
    unlink_cancel_node(n);  // the caller gets no context
    throw;
  }
}

}  // namespace

void cancel_by_deadline(cancel_node& n, steady_clock::time_point when) {
  const auto now = monotonic_clock::now();
  const auto left = when <= now ? nanoseconds::zero() : when - now;  // time_point::min() is far away
  const auto code = static_cast<int>(context_errc::deadline_exceeded);
  if (left <= left.zero()) return cancel_context(n, code, nullptr);
  const timer alarm = start_alarm(n, left);
  bool is_late = false;
  {
    const locked held(n);
    is_late = is_cancelled(n);
    if (!is_late) n.alarm.emplace(alarm);
  }
  if (is_late) alarm.stop();
}

bool link_function(cancel_node& n, context_link& function) {
  keep_tokens_above(n);
  bool is_late = false;
  {
    const locked held(n);
    is_late = is_cancelled(n);
    if (!is_late) insert(n, function);
  }
  if (is_late) free_tokens_above(n);
  return !is_late;
}

bool unlink_function(cancel_node& n, context_link& function) noexcept {
  {
    const locked held(n);
    if (is_cancelled(n) || !function.is_linked) return false;
    remove(n, function);
  }
  free_tokens_above(n);
  return true;
}

recv_chan<void> done_channel(cancel_node& n) {
  chan<void> fresh;
  for (bool is_closed = false;;) {
    bool must_close = false;
    {
      const locked held(n);
      if (n.channel == nullptr && fresh) {
        must_close = is_cancelled(n) && !is_closed;
        if (!must_close) n.channel = chan_access::core(fresh);
      }
      if (n.channel != nullptr) return chan_access::make<chan<void>>(n.channel.get());
    }
    if (must_close) fresh.close();
    is_closed = is_closed || must_close;
    if (!fresh) {
      fresh = make_chan<void>();
      if (n.code.load(std::memory_order_relaxed) == 0) keep_tokens_above(n);
    }
  }
}

int context_code(const cancel_node& n) {
  const int code = n.code.load(std::memory_order_acquire);  // with settle
  if (code != 0 && !n.over.load(std::memory_order_acquire)) done_channel(const_cast<cancel_node&>(n)).recv();
  return code;
}

std::stop_source& stopper_of(cancel_node& n) {
  context_source* fresh = nullptr;
  for (;;) {
    bool is_late = false;
    context_source* found = nullptr;
    {
      const locked held(n);
      if (n.stopper == nullptr && fresh != nullptr) {
        n.stopper = fresh;
        is_late = is_cancelled(n);
      }
      found = n.stopper.get();
    }
    if (is_late) found->source.request_stop();
    if (found != nullptr) return found->source;
    fresh = make_kept<context_source>();
  }
}

namespace {

void cancel_for(const gc_ptr<cancel_node>& n, std::exception_ptr why) {
  if (n == nullptr) return;
  context_cause* cause = why != nullptr ? make_kept<context_cause>(context_cause{std::move(why)}) : nullptr;
  cancel_context(*n, static_cast<int>(context_errc::canceled), cause);
}

cancel_node* canceller_of(const context& c) noexcept {
  context_node* n = context_access::node(c);
  return n != nullptr ? n->canceller.get() : nullptr;
}

class category : public std::error_category {
 public:
  const char* name() const noexcept override { return "cairn.context"; }
  std::string message(int code) const override {
    switch (static_cast<context_errc>(code)) {
      case context_errc::canceled:
        return "context canceled";
      case context_errc::deadline_exceeded:
        return "context deadline exceeded";
    }
    return "unknown context error";
  }
};

}  // namespace
}  // namespace detail

using detail::context_access;

const std::error_category& context_category() noexcept {
  static const detail::category the_category;
  return the_category;
}

void cancel_func::operator()() const { detail::cancel_for(node_, nullptr); }
void cancel_cause_func::operator()(std::exception_ptr cause) const {
  detail::cancel_for(node_, std::move(cause));
}
void cancel_cause_func::operator()(std::error_code cause) const {
  detail::cancel_for(node_, cause ? std::make_exception_ptr(std::system_error(cause)) : nullptr);
}

recv_chan<void> context::done() const {
  detail::begin_call();
  detail::cancel_node* n = detail::canceller_of(*this);
  return n != nullptr ? detail::done_channel(*n) : recv_chan<void>();
}

std::error_code context::err() const {
  detail::begin_call();
  detail::cancel_node* n = detail::canceller_of(*this);
  const int code = n != nullptr ? detail::context_code(*n) : 0;
  return code != 0 ? std::error_code(code, context_category()) : std::error_code();
}

std::exception_ptr context::cause() const {
  const std::error_code code = err();
  if (!code) return nullptr;
  if (detail::context_cause* given = detail::canceller_of(*this)->cause.get()) return given->why;
  return std::make_exception_ptr(std::system_error(code));
}

std::optional<steady_clock::time_point> context::deadline() const {
  detail::begin_call();
  detail::cancel_node* n = detail::canceller_of(*this);
  return n != nullptr ? n->deadline : std::nullopt;
}

std::stop_token context::stop_token() const {
  detail::begin_call();
  detail::cancel_node* n = detail::canceller_of(*this);
  return n != nullptr ? detail::stopper_of(*n).get_token() : std::stop_token();
}

std::pair<context, cancel_func> with_cancel(context parent) {
  detail::cancel_node* n = detail::make_cancel_node(context_access::node(parent));
  detail::link_cancel_node(*n);
  return {context_access::make(n), context_access::canceller(n)};
}

std::pair<context, cancel_cause_func> with_cancel_cause(context parent) {
  detail::cancel_node* n = detail::make_cancel_node(context_access::node(parent));
  detail::link_cancel_node(*n);
  return {context_access::make(n), context_access::cause_canceller(n)};
}

std::pair<context, cancel_func> with_deadline(context parent, steady_clock::time_point when) {
  detail::cancel_node* n = detail::make_cancel_node(context_access::node(parent));
  const bool comes_first = !n->deadline || when < *n->deadline;
  if (comes_first) n->deadline = when;
  detail::link_cancel_node(*n);
  if (comes_first) detail::cancel_by_deadline(*n, when);
  return {context_access::make(n), context_access::canceller(n)};
}

std::pair<context, cancel_func> with_timeout(context parent, nanoseconds d) {
  const auto now = monotonic_clock::now();
  const bool is_endless = d > steady_clock::time_point::max() - now;
  return with_deadline(std::move(parent), is_endless ? steady_clock::time_point::max() : now + d);
}

context without_cancel(context parent) {
  detail::context_node* n = make_gc<detail::context_node>().get();
  n->parent = context_access::node(parent);
  return context_access::make(n);
}

context with_stop_token(context parent, std::stop_token token) {
  auto* n = detail::make_kept<detail::stop_node>();
  n->key_type = &detail::k_is_stop_node;
  detail::context_node* above = context_access::node(parent);
  n->parent = above;
  n->canceller = n;
  if (above != nullptr && above->canceller != nullptr) {
    n->above = above->canceller;
    n->deadline = above->canceller->deadline;
  }
  detail::link_cancel_node(*n);
  n->callback.emplace(std::move(token), detail::on_stop{n});
  return context_access::make(n);
}

}  // namespace cairn
