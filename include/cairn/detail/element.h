// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// How a T goes through a channel, which moves words under its lock and calls nothing.
//
//   as words  what may be moved by copying its bytes and forgetting the original: trivial types, gc_ptr, slices,
//             channels, and aggregates, arrays, pairs and the like of these
//   in a box  everything else: the T is constructed in a collected object outside the channel, whose address is the
//             element. The receiver moves the T out, destroys what is left, and gives the box back to the channel for
//             the next one. What lies in a channel that is collected is destroyed with its box.
//
// A select and a try_send must not touch the T before it is clear that it will be sent. They send an empty box
// with a promise, and fill it at once when that was taken. A receiver that comes upon it waits; if the constructor
// threw, or the goroutine ended, the promise is broken and the receiver looks for the next element.
//
// What a constructor of T throws is passed on to whoever sends or receives: an element that could not be put into its
// box has not been sent; one that could not be moved out is gone.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>

#include "cairn/detail/channel.h"
#include "cairn/detail/object.h"
#include "cairn/go.h"
#include "cairn/layout.h"

namespace cairn::detail {

// ---- which way -----------------------------------------------------------------------------------------------------

template <class T>
consteval bool moves_as_words();
template <class... F>
consteval bool all_move_as_words(type_list<F...>) {
  return (true && ... && (std::is_reference_v<F> || moves_as_words<std::remove_cv_t<F>>()));
}
// Does not ask whether T is noscan: a program may say so further down than it uses the channel.
template <class T>
consteval bool moves_as_words() {
  if constexpr (!std::is_trivially_destructible_v<T>) return false;
  else if constexpr (std::is_trivially_copyable_v<T>) return true;
  else if constexpr (is_atomic_handle<T>) return false;
  else if constexpr (is_one_pointer<T> || is_slice<T> || is_channel<T>) return true;
  else if constexpr (std::is_array_v<T>) return moves_as_words<std::remove_all_extents_t<T>>();
  else if constexpr (is_std_array<T>::value) return moves_as_words<typename is_std_array<T>::element>();
  else if constexpr (is_composed<T>::value) return all_move_as_words(typename is_composed<T>::parts{});
  else if constexpr (bindable<T>) return all_move_as_words(fields_of<T>{});
  else return false;
}

inline constexpr std::size_t k_most_element_bytes = 4096;  // that are copied under the lock

template <class T>
consteval bool goes_as_words() {
  if constexpr (!moves_as_words<T>() || sizeof(T) > k_most_element_bytes || alignof(T) > 16) return false;
  else return is_noscan<T> || alignof(T) % sizeof(void*) == 0;
}

// ---- boxes ---------------------------------------------------------------------------------------------------------

template <class T>
struct box_of : chan_box {
  box_of() {}
  ~box_of() {}
  box_of(const box_of&) = delete;
  box_of& operator=(const box_of&) = delete;
  union {
    alignas(std::max(alignof(T), alignof(void*))) T value;
  };

  // At its end: nothing in it keeps anything alive.
  void empty() noexcept {
    holds = false;
    std::destroy_at(std::addressof(value));
    if (stores_are_watched()) [[unlikely]]
      bulk_barrier_slow(std::addressof(value), sizeof value);
    std::memset(static_cast<void*>(std::addressof(value)), 0, sizeof value);
  }
};

// By the collector.
template <class T>
void destroy_box(void* first, std::size_t) noexcept {
  auto* box = static_cast<box_of<T>*>(first);
  if (box->holds) std::destroy_at(std::addressof(box->value));
}
template <class T>
inline constexpr type_ops k_box_ops{&destroy_box<T>, k_type_name<T>.data()};

// Too large for a pointer mask, and without pointers of its own: then it must not be in a list.
template <class T>
consteval bool has_noscan_box() {
  return is_noscan<T> && sizeof(box_of<T>) > k_mask_bytes;
}

template <class T>
box_of<T>* make_box(chan_core* c) {
  if (chan_box* spare = take_spare_box(c)) return static_cast<box_of<T>*>(spare);
  constexpr bool is_armed = !std::is_trivially_destructible_v<T>;
  constexpr std::size_t bytes = sizeof(box_of<T>) + (is_armed ? k_object_footer_bytes : 0);
  constexpr std::uint64_t list_only = std::uint64_t{1} << offsetof(chan_box, next) / sizeof(void*);
  constexpr layout_info layout{is_noscan<T> ? list_only : ~std::uint64_t{0}, has_noscan_box<T>()};
  auto* box = ::new (allocate_bytes(bytes, alignof(box_of<T>), layout, false)) box_of<T>;
  if constexpr (is_armed) arm_destructor(box, &k_box_ops<T>);
  return box;
}

template <class T>
void give_box(chan_core* c, box_of<T>* box) noexcept {
  // Relaxed: nobody else knows it.
  box->state.store(chan_box::k_settled, std::memory_order_relaxed);
  if constexpr (!has_noscan_box<T>()) give_spare_box(c, box);
}

template <class T, class... A>
void fill_box(box_of<T>& box, A&&... a) {
  ::new (static_cast<void*>(std::addressof(box.value))) T(std::forward<A>(a)...);
  box.holds = true;
  shade_if_marking(std::addressof(box.value), sizeof box.value);  // raw pointers came from a stack
  (keep_in_place(a), ...);                                        // and were there until now
}

// The box was sent as a promise.
template <class T, class V>
void fill_promised(box_of<T>& box, V&& value) {
  struct work {
    box_of<T>& box;
    V&& value;
  } w{box, std::forward<V>(value)};
  keep_promise(
      box,
      [](void* arg) {
        auto& self = *static_cast<work*>(arg);
        fill_box(self.box, std::forward<V>(self.value));
      },
      &w);
}

// Empties the box and gives it back, when the value has been moved out or that has thrown.
template <class T>
class opened_box {
 public:
  opened_box(chan_core* c, box_of<T>* box) noexcept : channel_(c), box_(box) {}
  ~opened_box() {
    box_->empty();
    give_box(channel_, box_);
  }
  opened_box(const opened_box&) = delete;
  opened_box& operator=(const opened_box&) = delete;
  T&& value() const noexcept { return std::move(box_->value); }

 private:
  chan_core* channel_;
  box_of<T>* box_;
};

// A box that nobody has got yet goes back to its channel.
template <class T>
class unsent_box {
 public:
  unsent_box() noexcept = default;
  ~unsent_box() {
    if (slot_ == nullptr) return;
    if (box().holds) box().empty();
    give_box(channel_, &box());
  }
  unsent_box(const unsent_box&) = delete;
  unsent_box& operator=(const unsent_box&) = delete;

  void make(chan_core* c) {
    channel_ = c;
    slot_ = make_box<T>(c);
  }
  // Relaxed: it becomes known with the channel's lock.
  void promise() noexcept { slot_->state.store(chan_box::k_pending, std::memory_order_relaxed); }
  box_of<T>& box() const noexcept { return *static_cast<box_of<T>*>(slot_); }
  chan_box** slot() noexcept { return &slot_; }
  box_of<T>& sent() noexcept { return *static_cast<box_of<T>*>(std::exchange(slot_, nullptr)); }

 private:
  chan_core* channel_ = nullptr;
  chan_box* slot_ = nullptr;
};

// ---- slots ---------------------------------------------------------------------------------------------------------

// Where an element is put or read: bytes, in whole words.
template <class T>
struct word_slot {
  static constexpr std::size_t k_align = std::max(alignof(T), alignof(void*));
  alignas(k_align) unsigned char bytes[(sizeof(T) + k_align - 1) / k_align * k_align];

  template <class V>
  void construct(V&& value) {
    ::new (static_cast<void*>(bytes)) T(std::forward<V>(value));
  }
  // Of a T that moves as words.
  void copy(const T& original) noexcept {
    std::memcpy(static_cast<void*>(bytes), static_cast<const void*>(std::addressof(original)), sizeof(T));
  }
  T& value() noexcept { return *std::launder(reinterpret_cast<T*>(bytes)); }
};

// What a closed channel gives. The compiler is not told that it is empty: else it would warn where a program that knows
// better uses the value without asking.
template <class T>
[[gnu::always_inline]] inline std::optional<T> nothing_more() noexcept {
  std::optional<T> none;
  asm("" : "+m"(none));
  return none;
}

// A received element on its way: `place` is filled by the channel, then taken once.
template <class T>
class arrival {
 public:
  void* place() noexcept {
    if constexpr (goes_as_words<T>()) return slot_.words.bytes;
    else return &slot_.box;
  }
  // False: the promise of an element was broken.
  bool is_there(chan_core* c) {
    if constexpr (goes_as_words<T>()) {
      return true;
    } else {
      // Acquire: with who kept the promise.
      if (slot_.box->state.load(std::memory_order_acquire) == chan_box::k_settled) [[likely]]
        return true;
      if (await_box(*slot_.box)) return true;
      give_box(c, static_cast<box_of<T>*>(slot_.box));
      return false;
    }
  }
  std::optional<T> take(chan_core* c) {
    if constexpr (goes_as_words<T>()) {
      return std::optional<T>(std::in_place, std::move(slot_.words.value()));
    } else {
      const opened_box<T> opened(c, static_cast<box_of<T>*>(slot_.box));
      return std::optional<T>(std::in_place, opened.value());
    }
  }

 private:
  union storage {
    storage() noexcept : box(nullptr) {}
    chan_box* box;
    word_slot<T> words;
  } slot_;
};

// ---- sending and receiving -----------------------------------------------------------------------------------------

template <bool Noscan>
[[nodiscard]] chan_core* make_chan_of_words(std::size_t capacity, std::size_t element_bytes) {
  constexpr unsigned k_class = span_class_of(size_class_of(k_chan_header_bytes, 16), Noscan);
  constexpr std::uint64_t k_mask = Noscan ? 0 : ~std::uint64_t{0};
  if (capacity != 0) return make_chan_core(capacity, element_bytes, Noscan);
  return init_chan_core(allocate_small<k_class>(k_mask), 0, element_bytes, Noscan);
}

template <class T>
[[nodiscard]] chan_core* make_chan_of(std::size_t capacity) {
  if constexpr (std::is_void_v<T>) return make_chan_of_words<true>(capacity, 0);
  else if constexpr (goes_as_words<T>()) return make_chan_of_words<is_noscan<T>>(capacity, sizeof(T));
  else return make_chan_of_words<false>(capacity, sizeof(chan_box*));
}

template <class T, class V>
void send_element(chan_core* c, V&& value) {
  chan_status status;
  if constexpr (goes_as_words<T>()) {
    // A copy: others may change the original while this waits, and the collector need not know it.
    word_slot<T> copy;
    copy.construct(std::forward<V>(value));
    status = chan_send(c, copy.bytes);
  } else {
    if (chan_is_closed(c)) throw_sent_on_closed();  // before the value is touched
    unsent_box<T> unsent;
    unsent.make(c);
    fill_box(unsent.box(), std::forward<V>(value));
    status = chan_send(c, unsent.slot());
    if (status == chan_status::done) unsent.sent();
  }
  if (status == chan_status::closed) throw_sent_on_closed();
}

template <class T, class V>
bool try_send_element(chan_core* c, V&& value) {
  chan_status status;
  if constexpr (goes_as_words<T>()) {
    word_slot<T> copy;
    copy.construct(std::forward<V>(value));
    status = chan_try_send(c, copy.bytes);
  } else {
    if (!chan_may_take(c)) return false;
    unsent_box<T> unsent;
    unsent.make(c);
    unsent.promise();
    status = chan_try_send(c, unsent.slot());
    if (status == chan_status::done) fill_promised(unsent.sent(), std::forward<V>(value));
  }
  if (status == chan_status::closed) throw_sent_on_closed();
  return status == chan_status::done;
}

template <class T>
std::optional<T> recv_element(chan_core* c) {
  arrival<T> arriving;
  do {
    if (chan_recv(c, arriving.place()) == chan_status::closed) return nothing_more<T>();
  } while (!arriving.is_there(c));
  return arriving.take(c);
}

}  // namespace cairn::detail
