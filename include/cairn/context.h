// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Contexts: what is passed down to all that works on one task, to tell it when to stop, and with values of the task.
//
// A context is a handle of one word to an immutable node; with_cancel and the like make a new one below.
// Cancelling one cancels all below it, and nothing above. Everything here may be called by all goroutines and
// attached threads at once, and contexts live where a gc_ptr may. A context that is never cancelled stays in
// the list of the one above it, as in Go: call the function that cancels it when the work is done, with
// cairn::defer.
#pragma once
#include <chrono>
#include <concepts>
#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>

#include "cairn/chan.h"
#include "cairn/detail/context_node.h"
#include "cairn/detail/kept.h"
#include "cairn/detail/library_call.h"

namespace cairn {

enum class context_errc { canceled = 1, deadline_exceeded };
const std::error_category& context_category() noexcept;
inline std::error_code make_error_code(context_errc e) noexcept {
  return {static_cast<int>(e), context_category()};
}

}  // namespace cairn
template <>
struct std::is_error_code_enum<cairn::context_errc> : std::true_type {};
namespace cairn {

class context;

namespace detail {

// How a key is kept: texts by content, whatever their type.
template <class K>
using context_key = std::conditional_t<std::convertible_to<const K&, std::string_view>, std::string, K>;
template <class T>
inline constexpr char k_context_type = 0;
template <class K>
struct keyed_node : context_node {
  K key;
  const void* value_type;
  const void* value;  // in the same object
  explicit keyed_node(K&& k) : key(std::move(k)) {}
};
template <class K, class V>
struct value_node : keyed_node<K> {
  V held;
  value_node(K&& k, V&& v) : keyed_node<K>(std::move(k)), held(std::move(v)) {
    this->key_type = &k_context_type<K>;
    this->value_type = &k_context_type<V>;
    this->value = std::addressof(held);
  }
};

struct context_access;

// A function of after_func.
struct function_link : context_link, stoppable {
  gc_ptr<cancel_node> node;
};

}  // namespace detail

// Cancels its context: the first call does, later ones do nothing. A null one does nothing.
class cancel_func {
 public:
  cancel_func() noexcept = default;
  void operator()() const;

 private:
  friend struct detail::context_access;
  explicit cancel_func(detail::cancel_node* n) noexcept : node_(n) {}
  gc_ptr<detail::cancel_node> node_;
};
// The same with a cause, which context::cause() gives then; a null or zero one is none.
class cancel_cause_func {
 public:
  cancel_cause_func() noexcept = default;
  void operator()(std::exception_ptr cause) const;
  void operator()(std::error_code cause) const;  // as std::system_error

 private:
  friend struct detail::context_access;
  explicit cancel_cause_func(detail::cancel_node* n) noexcept : node_(n) {}
  gc_ptr<detail::cancel_node> node_;
};

class context {
 public:
  // background().
  context() noexcept = default;

  // Closed when the context is cancelled; always the same. A null channel if it never can be.
  recv_chan<void> done() const;
  // None as long as done() is not closed, then why.
  std::error_code err() const;
  // What was given to cancel the context, or the one above that was cancelled, else err() as a
  // std::system_error. Null as long as err() is none.
  std::exception_ptr cause() const;
  // When it will be cancelled, at the latest.
  std::optional<std::chrono::steady_clock::time_point> deadline() const;
  // The value of the key, which is equal and of the same type, in this context or the next one above that has
  // it. Null if there is none, or it is no V. Texts are compared by content, be they literals or std::strings.
  template <class V, class K>
  const V* value(const K& key) const {
    using kept = detail::context_key<std::decay_t<K>>;
    detail::begin_call();
    for (const detail::context_node* n = node_.get(); n != nullptr; n = n->parent.get()) {
      if (n->key_type != &detail::k_context_type<kept>) continue;
      const auto* keyed = static_cast<const detail::keyed_node<kept>*>(n);
      if (!(keyed->key == key)) continue;
      return keyed->value_type == &detail::k_context_type<V> ? static_cast<const V*>(keyed->value) : nullptr;
    }
    return nullptr;
  }
  // Stopped when the context is cancelled, by who cancels it.
  std::stop_token stop_token() const;

 private:
  friend struct detail::context_access;
  explicit context(detail::context_node* n) noexcept : node_(n) {}
  gc_ptr<detail::context_node> node_;
};

namespace detail {
struct context_access {
  static context_node* node(const context& c) noexcept { return c.node_.get(); }
  static context make(context_node* n) noexcept { return context(n); }
  static cancel_func canceller(cancel_node* n) noexcept { return cancel_func(n); }
  static cancel_cause_func cause_canceller(cancel_node* n) noexcept { return cancel_cause_func(n); }
};
}  // namespace detail

// Never cancelled, without values and deadline: what the others begin with. todo() is for where it is not clear yet
// which one to use.
inline context background() noexcept { return {}; }
inline context todo() noexcept { return {}; }

// The rest throws std::bad_alloc, and what copying a key, a value or a function throws.

std::pair<context, cancel_func> with_cancel(context parent);
std::pair<context, cancel_cause_func> with_cancel_cause(context parent);
// Cancelled at that time, with context_errc::deadline_exceeded.
std::pair<context, cancel_func> with_deadline(context parent, std::chrono::steady_clock::time_point when);
std::pair<context, cancel_func> with_timeout(context parent, std::chrono::nanoseconds d);

// With a value for a key. Keys are compared by ==.
template <class K, class V>
context with_value(context parent, K key, V value) {
  using kept = detail::context_key<K>;
  auto* const made = detail::make_kept<detail::value_node<kept, V>>(kept(std::move(key)), std::move(value));
  detail::context_node* const above = detail::context_access::node(parent);
  made->parent = above;
  if (above != nullptr) made->canceller = above->canceller;
  return detail::context_access::make(made);
}
// With the values of the parent, and not cancelled with it; without a deadline.
context without_cancel(context parent);
// Cancelled when a stop is requested, too.
context with_stop_token(context parent, std::stop_token token);

// f() is called on a goroutine of its own once the context is cancelled; at once if it is. stop() of the
// handle: true if it will not be called because of that.
template <std::invocable F>
stop_handle after_func(context ctx, F&& f) {
  struct link : detail::function_link {
    explicit link(F&& g) : function(std::forward<F>(g)) {
      this->fire = [](detail::context_link& self) {
        auto* const me = static_cast<link*>(&self);
        cairn::go([me] { (*me->function)(); });
      };
      this->stop = [](detail::stoppable& self) noexcept {
        auto& me = static_cast<link&>(self);
        return me.node != nullptr && detail::unlink_function(*me.node, me);
      };
    }
    std::optional<std::decay_t<F>> function;
  };
  link* const made = detail::make_kept<link>(std::forward<F>(f));
  detail::context_node* const node = detail::context_access::node(ctx);
  if (node != nullptr && node->canceller != nullptr) {
    made->node = node->canceller;
    if (!detail::link_function(*made->node, *made)) made->fire(*made);
  }
  return stop_handle(static_cast<detail::stoppable*>(made));
}

}  // namespace cairn
