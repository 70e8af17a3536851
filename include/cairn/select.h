// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Select: one of several communications, whichever can be made; among several, each with the same probability.
//
//     cairn::select(cairn::on_recv(words, [](std::optional<std::string> word) { ... }),
//                   cairn::on_send(numbers, 3),
//                   cairn::on_default([] { ... }));
//
// A case with a null channel is never taken; the same channel may stand in several. Without cases, or with null
// channels only, it waits for ever, unless there is an on_default: that is taken if no other case could be, at one
// moment during the call. The handler of the case that was taken runs at the end, on the calling goroutine; what it
// throws passes through. A value is moved from only if its case is taken. A case that sends on a closed channel can be
// taken, and throws closed_channel.
#pragma once
#include <array>
#include <concepts>
#include <cstddef>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <tuple>
#include <type_traits>
#include <utility>

#include "cairn/chan.h"
#include "cairn/root.h"

namespace cairn {

namespace detail {

struct no_handler {
  void operator()(auto&&...) const noexcept {}
};

// A case: what it offers is prepared in a frame on the stack of select, which is also where an element arrives.
// `finish` is called after the case was taken; false: that has come to nothing.

template <class T, class F>
class recv_case {
 public:
  struct frame {
    arrival<T> arriving;
  };
  static constexpr bool is_default = false;

  recv_case(chan_core* c, F handler) : channel_(c), handler_(std::move(handler)) {}
  recv_case own() && { return std::move(*this); }
  void prepare(frame& f, chan_case& k) {
    k.channel = channel_;
    k.slot = f.arriving.place();
  }
  bool finish(frame& f, chan_status status) {
    if (status == chan_status::closed) {
      handler_(nothing_more<T>());
    } else {
      if (!f.arriving.is_there(channel_)) return false;
      handler_(f.arriving.take(channel_));
    }
    return true;
  }

 private:
  chan_core* channel_;  // on a stack, or in an object whose every word is looked at
  F handler_;
};

template <class F>
class recv_case<void, F> {
 public:
  struct frame {};
  static constexpr bool is_default = false;

  recv_case(chan_core* c, F handler) : channel_(c), handler_(std::move(handler)) {}
  recv_case own() && { return std::move(*this); }
  void prepare(frame&, chan_case& k) { k.channel = channel_; }
  bool finish(frame&, chan_status status) {
    handler_(status == chan_status::done);
    return true;
  }

 private:
  chan_core* channel_;
  F handler_;
};

// V: a reference to what the T is made of, or the T itself.
template <class T, class V, class F>
class send_case {
 public:
  struct frame {
    std::conditional_t<goes_as_words<T>(), word_slot<T>, unsent_box<T>> sent;
  };
  static constexpr bool is_default = false;

  template <class X>
  send_case(chan_core* c, X&& value, F handler)
      : channel_(c), value_(std::forward<X>(value)), handler_(std::move(handler)) {}
  send_case<T, T, F> own() && { return {channel_, std::forward<V>(value_), std::move(handler_)}; }

  void prepare(frame& f, chan_case& k) {
    k.channel = channel_;
    k.is_send = true;
    if constexpr (goes_as_words<T>()) {
      f.sent.copy(value_);
      k.slot = f.sent.bytes;
    } else if (channel_ != nullptr) {
      f.sent.make(channel_);
      f.sent.promise();
      k.is_promise = true;
      k.slot = f.sent.slot();
    }
  }
  bool finish([[maybe_unused]] frame& f, chan_status status) {
    if (status == chan_status::closed) throw_sent_on_closed();
    if constexpr (!goes_as_words<T>()) {
      // An owned value stays for the next time, if it can.
      if constexpr (std::is_same_v<V, T> && std::is_copy_constructible_v<T>)
        fill_promised(f.sent.sent(), std::as_const(value_));
      else fill_promised(f.sent.sent(), std::forward<V>(value_));
    }
    handler_();
    return true;
  }

 private:
  chan_core* channel_;
  V value_;
  F handler_;
};

struct no_value {};
template <class F>
class send_case<void, no_value, F> {
 public:
  struct frame {};
  static constexpr bool is_default = false;

  send_case(chan_core* c, F handler) : channel_(c), handler_(std::move(handler)) {}
  send_case own() && { return std::move(*this); }
  void prepare(frame&, chan_case& k) {
    k.channel = channel_;
    k.is_send = true;
  }
  bool finish(frame&, chan_status status) {
    if (status == chan_status::closed) throw_sent_on_closed();
    handler_();
    return true;
  }

 private:
  chan_core* channel_;
  F handler_;
};

template <class F>
class default_case {
 public:
  struct frame {};
  static constexpr bool is_default = true;

  explicit default_case(F handler) : handler_(std::move(handler)) {}
  default_case own() && { return std::move(*this); }
  void prepare(frame&, chan_case&) {}
  bool finish(frame&, chan_status) {
    handler_();
    return true;
  }

 private:
  F handler_;
};

// 1: a communication; 2: the default.
template <class C>
inline constexpr int is_case = 0;
template <class T, class F>
inline constexpr int is_case<recv_case<T, F>> = 1;
template <class T, class V, class F>
inline constexpr int is_case<send_case<T, V, F>> = 1;
template <class F>
inline constexpr int is_case<default_case<F>> = 2;

template <class T, template <class> class C>
concept source = std::same_as<C<T>, chan<T>> || std::same_as<C<T>, recv_chan<T>>;
template <class T, template <class> class C>
concept sink = std::same_as<C<T>, chan<T>> || std::same_as<C<T>, send_chan<T>>;

// What a case for the static form keeps of the value that on_send was given.
template <class T, class V>
using kept_value = std::conditional_t<moves_as_words<T>(), T, V&&>;

}  // namespace detail

// ---- cases ---------------------------------------------------------------------------------------------------------

// A case is best made in the call of select: unless T goes as a word or a few, it refers to the value it was given.

// handler(std::optional<T>), of chan<void> handler(bool): as recv() would give it.
template <class T, template <class> class C, class F = detail::no_handler>
requires detail::source<T, C> && std::invocable < std::decay_t<F>
&, detail::recv_type < T >> detail::recv_case<T, std::decay_t<F>> on_recv(const C<T>& c, F&& handler = {}) {
  return {detail::chan_access::core(c), std::forward<F>(handler)};
}

template <class T, template <class> class C, class V, class F = detail::no_handler>
requires detail::sink<T, C> &&
    (!std::is_void_v<T>)&&std::convertible_to<V, T>&& std::invocable<std::decay_t<F>&> detail::send_case<
        T, detail::kept_value<T, V>, std::decay_t<F>> on_send(const C<T>& c, V&& value, F&& handler = {}) {
  return {detail::chan_access::core(c), std::forward<V>(value), std::forward<F>(handler)};
}
template <class T, template <class> class C, class F = detail::no_handler>
requires detail::sink<T, C> && std::is_void_v<T> && std::invocable < std::decay_t<F>
& > detail::send_case<void, detail::no_value, std::decay_t<F>> on_send(const C<T>& c, F&& handler = {}) {
  return {detail::chan_access::core(c), std::forward<F>(handler)};
}

template <class F = detail::no_handler>
requires std::invocable < std::decay_t<F>
& > detail::default_case<std::decay_t<F>> on_default(F&& handler = {}) {
  return detail::default_case<std::decay_t<F>>(std::forward<F>(handler));
}

// ---- the static form -----------------------------------------------------------------------------------------------

namespace detail {

// Where the i-th of the arguments is among those that are no default; the default is behind them all.
template <class... C>
consteval auto places() {
  std::array<std::size_t, sizeof...(C)> at{};
  std::size_t i = 0, n = 0;
  for (const bool is_default : {C::is_default...}) at[i++] = is_default ? sizeof...(C) - 1 : n++;
  return at;
}

template <std::size_t... i, class... C>
int select_among(std::index_sequence<i...>, C&... cases) {
  constexpr bool has_default = (false || ... || C::is_default);
  constexpr std::size_t n = sizeof...(C) - has_default;
  constexpr auto at = places<C...>();
  for (;;) {
    std::tuple<typename C::frame...> frames;
    chan_case list[sizeof...(C)];
    (cases.prepare(std::get<i>(frames), list[at[i]]), ...);
    const selected s = select_cases(list, n, has_default);
    int taken = -1;
    static_cast<void>(
        (false || ... ||
         (s.index == at[i] &&
          (taken = cases.finish(std::get<i>(frames), s.status) ? static_cast<int>(i) : -1, true))));
    if (taken >= 0) return taken;
  }
}

}  // namespace detail

// Makes one of the communications, waits for it if none is possible and there is no on_default, and calls its handler.
// Returns the index of the case among the arguments.
template <class... C>
requires(... && (detail::is_case<std::remove_cvref_t<C>> != 0)) int select(C&&... cases) {
  static_assert((0 + ... + (detail::is_case<std::remove_cvref_t<C>> == 2)) <= 1,
                "select: at most one on_default");
  if constexpr (sizeof...(C) == 0) {
    static_cast<void>(detail::select_cases(nullptr, 0, false));
    return -1;
  } else {
    return detail::select_among(std::index_sequence_for<C...>{}, cases...);
  }
}

// ---- the dynamic form ----------------------------------------------------------------------------------------------

namespace detail {

// A case of any kind, in a collected object whose every word is looked at.
struct any_case {
  struct operations {
    bool is_default;
    std::size_t frame_bytes, frame_align;
    void (*prepare)(any_case& self, void* frame, chan_case& k);  // makes the frame
    bool (*finish)(any_case& self, void* frame, chan_status status);
    void (*end)(void* frame) noexcept;
  };
  const operations* ops;
};

template <class C>
struct case_object : any_case {
  using frame = typename C::frame;
  explicit case_object(C&& c) : any_case{&k_operations}, held(std::move(c)) {}

  static void prepare_it(any_case& self, void* memory, chan_case& k) {
    frame* f = ::new (memory) frame;
    try {
      static_cast<case_object&>(self).held.prepare(*f, k);
    } catch (...) {
      std::destroy_at(f);
      throw;
    }
  }
  static bool finish_it(any_case& self, void* memory, chan_status status) {
    return static_cast<case_object&>(self).held.finish(*static_cast<frame*>(memory), status);
  }
  static void end_it(void* memory) noexcept { std::destroy_at(static_cast<frame*>(memory)); }
  static constexpr operations k_operations{C::is_default, sizeof(frame), alignof(frame),
                                           &prepare_it,   &finish_it,    &end_it};
  C held;
};

template <class C>
any_case* make_case_object(C c) {
  using object = case_object<C>;
  constexpr bool is_armed = !std::is_trivially_destructible_v<object>;
  constexpr layout_info layout{~std::uint64_t{0}, false};
  void* memory = allocate_bytes(sizeof(object) + (is_armed ? k_object_footer_bytes : 0), alignof(object),
                                layout, false);
  auto* made = ::new (memory) object(std::move(c));
  if constexpr (is_armed) arm_destructor(made, &k_type_ops<object>);
  shade_if_marking(made, sizeof(object));
  keep_in_place(c);
  return made;
}

}  // namespace detail

// A case for a select that is put together at run time. Owns its value and its handler; a value that can be copied is
// copied whenever it is sent. Copies of it share both. Lives anywhere.
class select_case {
 public:
  template <class C>
  // NOLINTNEXTLINE(bugprone-forwarding-reference-overload): a select_case is not one of these
  requires(detail::is_case<std::remove_cvref_t<C>> != 0) select_case(C&& c)
      : case_(detail::make_case_object(std::remove_cvref_t<C>(std::forward<C>(c)).own())) {}

 private:
  friend int select(std::span<select_case> cases);
  root<detail::any_case> case_;
};

// As the other form; the index is that in `cases`, which may be used again. Throws std::invalid_argument if there is
// more than one on_default.
int select(std::span<select_case> cases);

}  // namespace cairn
