// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Channels: first in, first out, among the values and among those that wait. A channel without capacity hands each
// value from the sender to a receiver; one with a capacity keeps that many.
//
// chan<T> is a handle of one word, null by default, which lives where a gc_ptr may. What it stands for is collected
// like any object, closed or not; values that are left in it are destroyed some time after. Its functions are const and
// may be called by all goroutines and attached threads at once. What happens before a value is sent happens before it
// is received, the k-th receive happens before the send that is the (k + capacity)-th returns, and a close happens
// before a receive that reports it: Go's memory model.
//
// T is any type that can be moved, or void: a channel of signals. Moving one in or out may throw, which is passed on to
// who sends or receives: a value that could not be moved in was not sent, one that could not be moved out is gone.
#pragma once
#include <concepts>
#include <cstddef>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "cairn/detail/element.h"
#include "cairn/gc_ptr.h"

namespace cairn {

// A send on a closed channel, or the second close.
struct closed_channel : std::logic_error {
  using logic_error::logic_error;
};
// The close of a null channel.
struct null_channel : std::logic_error {
  using logic_error::logic_error;
};

// What try_recv found: `ok`, a value; `closed`, the channel is closed and drained; neither, nothing is there yet.
template <class T>
struct recv_result {
  std::optional<T> value;
  bool ok, closed;
};
template <>
struct recv_result<void> {
  bool ok, closed;
};

namespace detail {

template <class T>
using recv_type = std::conditional_t<std::is_void_v<T>, bool,
                                     std::optional<std::conditional_t<std::is_void_v<T>, char, T>>>;
template <class T>
using value_arg = std::conditional_t<std::is_void_v<T>, char, T>;

struct chan_access;

// What chan, send_chan and recv_chan have in common.
class chan_handle {
 public:
  chan_handle() noexcept = default;
  bool operator==(const chan_handle& o) const noexcept { return core_ == o.core_; }
  explicit operator bool() const noexcept { return static_cast<bool>(core_); }
  // Values that lie in it. A moment later there may be others.
  std::size_t len() const { return chan_len(core()); }
  std::size_t cap() const { return chan_cap(core()); }

 protected:
  friend struct chan_access;
  explicit chan_handle(chan_core* c) noexcept : core_(c) {}
  chan_core* core() const noexcept { return core_.get(); }

 private:
  gc_ptr<chan_core> core_;
};

struct chan_access {
  static chan_core* core(const chan_handle& c) noexcept { return c.core(); }
  // For the library's own: the channel whose core it is.
  template <class Chan>
  static Chan make(chan_core* c) noexcept {
    return Chan(c);
  }
};

// Receives at every step. Of a loop over a channel.
template <class Chan, class T>
class chan_iterator {
 public:
  using value_type = T;
  using difference_type = std::ptrdiff_t;
  using iterator_concept = std::input_iterator_tag;

  explicit chan_iterator(const Chan& c) : value_(c.recv()), channel_(c) {}
  T&& operator*() const noexcept { return std::move(*value_); }
  chan_iterator& operator++() {
    value_.reset();
    if (auto next = channel_.recv()) value_.emplace(std::move(*next));
    return *this;
  }
  void operator++(int) { ++*this; }
  bool operator==(std::default_sentinel_t) const noexcept { return !value_.has_value(); }

 private:
  mutable std::optional<T> value_;  // first: the receive attaches the thread, which copying a handle does not
  Chan channel_;
};

// ---- the two ends --------------------------------------------------------------------------------------------------

// Adds sending to a handle.
template <class T, class Base>
class with_send : public Base {
 public:
  using value_type = T;

  // Waits until a receiver has taken the value, or there is room for it; on a null channel for ever. Throws
  // closed_channel if the channel is closed, also meanwhile.
  void send(const value_arg<T>& value) const
      requires(!std::is_void_v<T> && std::copy_constructible<value_arg<T>>) {
    send_element<T>(this->core(), value);
  }
  void send(value_arg<T>&& value) const requires(!std::is_void_v<T>) {
    send_element<T>(this->core(), std::move(value));
  }
  void send() const requires std::is_void_v<T> {
    if (chan_send(this->core(), nullptr) == chan_status::closed) throw_sent_on_closed();
  }

  // The same without waiting: false if it would have to. Then the value is as it was.
  bool try_send(const value_arg<T>& value) const
      requires(!std::is_void_v<T> && std::copy_constructible<value_arg<T>>) {
    return try_send_element<T>(this->core(), value);
  }
  bool try_send(value_arg<T>&& value) const requires(!std::is_void_v<T>) {
    return try_send_element<T>(this->core(), std::move(value));
  }
  bool try_send() const requires std::is_void_v<T> {
    const chan_status status = chan_try_send(this->core(), nullptr);
    if (status == chan_status::closed) throw_sent_on_closed();
    return status == chan_status::done;
  }

  // Nothing can be sent any more; what lies in the channel can still be received. Who waits to receive learns it, who
  // waits to send gets closed_channel. Throws closed_channel the second time, null_channel if it is null.
  void close() const { chan_close(this->core()); }

 protected:
  using Base::Base;
};

// Adds receiving. `Self` is the whole handle.
template <class T, class Self, class Base>
class with_recv : public Base {
 public:
  using value_type = T;

  // Waits for the next value; nullopt (of chan<void>: false) if the channel is closed and drained. On a null channel
  // for ever.
  recv_type<T> recv() const {
    if constexpr (std::is_void_v<T>) return chan_recv(this->core(), nullptr) != chan_status::closed;
    else return recv_element<T>(this->core());
  }

  // The same without waiting.
  recv_result<T> try_recv() const {
    chan_core* const c = this->core();
    if constexpr (std::is_void_v<T>) {
      const chan_status status = chan_try_recv(c, nullptr);
      return {status == chan_status::done, status == chan_status::closed};
    } else {
      arrival<T> arriving;
      chan_status status;
      do status = chan_try_recv(c, arriving.place());
      while (status == chan_status::done && !arriving.is_there(c));
      if (status != chan_status::done) return {std::nullopt, false, status == chan_status::closed};
      return {arriving.take(c), true, false};
    }
  }

  // `for (T v : c)` receives until the channel is closed and drained.
  chan_iterator<Self, value_arg<T>> begin() const requires(!std::is_void_v<T>) {
    return chan_iterator<Self, value_arg<T>>(static_cast<const Self&>(*this));
  }
  std::default_sentinel_t end() const noexcept requires(!std::is_void_v<T>) { return std::default_sentinel; }

 protected:
  using Base::Base;
};

}  // namespace detail

template <class T>
class chan;

// The sending end of a channel, from a chan<T>.
template <class T>
class send_chan : public detail::with_send<T, detail::chan_handle> {
  using base = detail::with_send<T, detail::chan_handle>;

 public:
  send_chan() noexcept = default;
  send_chan(const chan<T>& c) noexcept : base(detail::chan_access::core(c)) {}
};

// The receiving end.
template <class T>
class recv_chan : public detail::with_recv<T, recv_chan<T>, detail::chan_handle> {
  using base = detail::with_recv<T, recv_chan<T>, detail::chan_handle>;

 public:
  recv_chan() noexcept = default;
  recv_chan(const chan<T>& c) noexcept : base(detail::chan_access::core(c)) {}
};

template <class T>
class chan : public detail::with_recv<T, chan<T>, detail::with_send<T, detail::chan_handle>> {
  using base = detail::with_recv<T, chan<T>, detail::with_send<T, detail::chan_handle>>;

 public:
  using value_type = T;
  chan() noexcept = default;

 private:
  friend struct detail::chan_access;
  explicit chan(detail::chan_core* c) noexcept : base(c) {}
};

// A new channel. Throws std::length_error if no such capacity is possible, std::bad_alloc if there is no memory for it.
template <class T>
chan<T> make_chan(std::size_t capacity = 0) {
  static_assert(std::is_void_v<T> || (std::is_object_v<T> && !std::is_array_v<T> && !std::is_const_v<T> &&
                                      std::is_move_constructible_v<T>),
                "a channel's values are moved in and out: their type is one that can be, or void");
  return detail::chan_access::make<chan<T>>(detail::make_chan_of<T>(capacity));
}

}  // namespace cairn

template <class T>
struct std::hash<cairn::chan<T>> {
  std::size_t operator()(const cairn::chan<T>& c) const noexcept {
    return std::hash<const void*>()(cairn::detail::chan_access::core(c));
  }
};
