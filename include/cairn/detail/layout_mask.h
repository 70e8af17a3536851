// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Answers from what detail/layout_types.h knows: noscan, pointer masks, zero initialisation, destructors.
//
// Offsets are real ones: the addresses of members of an object that is never made, in storage that is never read. The
// compiler folds that to a constant.
#pragma once
#include <any>
#include <functional>
#include <memory>
#include <optional>
#include <variant>

#include "cairn/layout.h"

namespace cairn::detail {

inline constexpr std::size_t k_word_bytes = 8;
inline constexpr std::size_t k_most_mask_bytes = 512;

// The lowest n bits.
constexpr std::uint64_t low_bits(std::size_t n) noexcept {
  return n >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << n) - 1;
}
template <class T>
constexpr std::uint64_t every_word() noexcept {
  return low_bits((sizeof(T) + k_word_bytes - 1) / k_word_bytes);
}

// ---- noscan ----------------------------------------------------------------------------------------------------------

template <class... F>
consteval bool all_noscan(type_list<F...>) {
  return (true && ... && (!std::is_reference_v<F> && is_noscan<std::remove_cv_t<F>>));
}
template <class T, int n, int i = 0>
consteval bool elements_noscan() {
  if constexpr (i >= n) return true;
  else return element_takes<T, noscan_probe, i>() && elements_noscan<T, n, i + 1>();
}

template <class T>
constexpr bool computed_noscan() {
  using U = std::remove_cv_t<T>;
  if constexpr (!std::is_same_v<T, U>) {
    return is_noscan<U>;
  } else if constexpr (std::is_arithmetic_v<U> || std::is_enum_v<U>) {
    return true;
  } else if constexpr (std::is_array_v<U>) {
    return is_noscan<std::remove_all_extents_t<U>>;
  } else if constexpr (is_std_array<U>::value) {
    return is_noscan<typename is_std_array<U>::element>;
  } else if constexpr (is_time<U>::value) {
    return true;
  } else if constexpr (is_std_atomic<U>::value) {
    return is_noscan<typename is_std_atomic<U>::value>;
  } else if constexpr (is_pair<U>::value) {
    return is_noscan<typename U::first_type> && is_noscan<typename U::second_type>;
  } else if constexpr (shape_of<U>() == shape::bindable) {
    return all_noscan(fields_of<U>{});
  } else if constexpr (shape_of<U>() == shape::derived) {
    return elements_noscan<U, count_fields<U>()>();
  } else {
    return false;
  }
}

// ---- masks -----------------------------------------------------------------------------------------------------------

template <class T>
std::uint64_t pointer_mask() noexcept;

// `mask` of something `offset` bytes into an object; everything if the collector, which looks at whole words, could not
// see it there.
constexpr std::uint64_t shift_mask(std::uint64_t mask, std::size_t offset) noexcept {
  if (mask == 0) return 0;
  if (offset % k_word_bytes != 0) return ~std::uint64_t{0};
  return offset >= k_most_mask_bytes ? 0 : mask << offset / k_word_bytes;
}

template <class T>
[[gnu::always_inline]] inline std::uint64_t mask_of_elements(std::size_t n) noexcept {
  const std::uint64_t one = pointer_mask<T>();
  if (one == 0) return 0;
  if (sizeof(T) % k_word_bytes != 0) return low_bits((n * sizeof(T) + k_word_bytes - 1) / k_word_bytes);
  std::uint64_t mask = 0;
  for (std::size_t i = 0; i < n && i * sizeof(T) < k_most_mask_bytes; ++i) mask |= shift_mask(one, i * sizeof(T));
  return mask;
}

// An object that nobody makes, for the addresses of its members.
template <class T>
union unmade {
  unmade() noexcept {}
  ~unmade() {}
  char none;
  T object;
};

template <class Whole, class Part>
[[gnu::always_inline]] inline std::uint64_t mask_of_part(const Whole& whole, const Part& part) noexcept {
  const auto offset = static_cast<std::size_t>(reinterpret_cast<const volatile char*>(std::addressof(part)) -
                                               reinterpret_cast<const volatile char*>(std::addressof(whole)));
  return shift_mask(pointer_mask<std::remove_cv_t<Part>>(), offset);
}

template <class F>
struct may_hold_pointers : std::bool_constant<!is_noscan<std::remove_cv_t<F>>> {};

template <class... F>
consteval bool any_reference(type_list<F...>) {
  return (false || ... || std::is_reference_v<F>);
}

template <class T>
[[gnu::always_inline]] inline std::uint64_t mask_of_members() noexcept {
  if constexpr (any_reference(fields_of<T>{})) {
    return every_word<T>();
  } else {
    unmade<T> u;
    std::uint64_t mask = 0;
    visit_fields<count_fields<T>(), may_hold_pointers>(
        u.object, [&mask, &u](auto& member) { mask |= mask_of_part(u.object, member); });
    return mask & every_word<T>();
  }
}

template <class T>
struct base_masks {
  T& object;
  std::uint64_t mask = 0;
  template <class Class, class... Base>
  void operator()() {
    static_assert(std::is_same_v<Class, T>, "CAIRN_GC_BASES names another class than the one it stands in");
    ((mask |= mask_of_part(object, static_cast<Base&>(object))), ...);
  }
};

// The members are called on an object that does not exist, for its addresses only.
template <class T>
#if defined(__clang__)
__attribute__((no_sanitize("undefined")))
#else
__attribute__((no_sanitize_undefined))
#endif
std::uint64_t
mask_of_declared() noexcept {
  unmade<T> u;
  std::uint64_t mask = 0;
  layout_access::fields(u.object, [&mask, &u](auto&... member) { ((mask |= mask_of_part(u.object, member)), ...); });
  base_masks<T> bases{u.object};
  layout_access::bases<T>(bases);
  return (mask | bases.mask) & every_word<T>();
}

template <class T>
[[gnu::always_inline]] inline std::uint64_t pointer_mask() noexcept {
  if constexpr (is_noscan<T> || is_own_root<T>) {
    return 0;
  } else if constexpr (is_one_pointer<T> || is_slice<T>) {
    return 1;
  } else if constexpr (is_collected_vector<T>::value) {
    return every_word<T>();
  } else if constexpr (sizeof(T) > k_most_mask_bytes) {
    return ~std::uint64_t{0};
  } else if constexpr (std::is_array_v<T>) {
    return mask_of_elements<std::remove_all_extents_t<T>>(sizeof(T) / sizeof(std::remove_all_extents_t<T>));
  } else if constexpr (is_std_array<T>::value) {
    return mask_of_elements<typename is_std_array<T>::element>(is_std_array<T>::size);
  } else if constexpr (is_pair<T>::value) {
    if constexpr (std::is_reference_v<typename T::first_type> || std::is_reference_v<typename T::second_type>) {
      return every_word<T>();
    } else {
      unmade<T> u;
      return mask_of_part(u.object, u.object.first) | mask_of_part(u.object, u.object.second);
    }
  } else if constexpr (layout_access::has_fields<T>) {
    return mask_of_declared<T>();
  } else if constexpr (shape_of<T>() == shape::bindable) {
    return mask_of_members<T>();
  } else {
    return every_word<T>();
  }
}

// Of n adjacent T; the first 64 words.
template <class T>
std::uint64_t repeated_mask(std::size_t n) noexcept {
  return mask_of_elements<std::remove_cv_t<T>>(n);
}

// ---- zero initialisation ---------------------------------------------------------------------------------------------

template <class F>
struct any_field : std::true_type {};

// The value is one whose bytes are all zero; asked at compile time.
template <class T>
constexpr bool is_zero(const T& value) {
  if constexpr (std::is_arithmetic_v<T> || std::is_enum_v<T> || std::is_pointer_v<T>) {
    if constexpr (std::is_floating_point_v<T>) return value == 0 && !__builtin_signbit(value);
    else return value == T{};
  } else if constexpr (is_one_pointer<T>) {
    return value.get() == nullptr;
  } else if constexpr (is_slice<T>) {
    return value.data() == nullptr && value.size() == 0 && value.capacity() == 0;
  } else if constexpr (std::is_array_v<T> || is_std_array<T>::value) {
    for (const auto& element : value)
      if (!is_zero(element)) return false;
    return true;
  } else if constexpr (shape_of<T>() == shape::bindable) {
    bool zero = true;
    visit_fields<count_fields<T>(), any_field>(value, [&zero](const auto& member) { zero = zero && is_zero(member); });
    return zero;
  } else {
    return false;
  }
}

template <class T>
constexpr bool value_is_zero() {
  T value{};
  return is_zero(value);
}
template <class T>
concept known_zero = requires { requires std::bool_constant<value_is_zero<T>()>::value; };

template <class... F>
consteval bool all_plain(type_list<F...>);
// A T{} can be looked at in a constant expression, and has no side effects.
template <class T>
consteval bool is_plain() {
  if constexpr (std::is_scalar_v<T>) return !std::is_member_pointer_v<T>;
  else if constexpr (is_one_pointer<T> || is_slice<T>) return std::is_trivially_destructible_v<T>;
  else if constexpr (std::is_array_v<T>) return is_plain<std::remove_all_extents_t<T>>();
  else if constexpr (is_std_array<T>::value) return is_plain<typename is_std_array<T>::element>();
  else if constexpr (shape_of<T>() == shape::bindable) return all_plain(fields_of<T>{});
  else return false;
}
template <class... F>
consteval bool all_plain(type_list<F...>) {
  return (true && ... && (!std::is_reference_v<F> && is_plain<std::remove_cv_t<F>>()));
}

template <class T>
consteval bool computed_zero_initialised() {
  using U = std::remove_cv_t<T>;
  if constexpr (std::is_arithmetic_v<U> || std::is_enum_v<U> || std::is_pointer_v<U>) return true;
  else if constexpr (std::is_array_v<U>) return computed_zero_initialised<std::remove_all_extents_t<U>>();
  else if constexpr (is_std_array<U>::value) return computed_zero_initialised<typename is_std_array<U>::element>();
  else if constexpr (is_plain<U>() && sizeof(U) <= 4096) return known_zero<U>;
  else return false;
}

// make_gc<T>() need not construct anything: value-initialising a T is filling it with zeros, which its memory is.
template <class T>
inline constexpr bool is_zero_initialised = computed_zero_initialised<T>();

// ---- destructors -----------------------------------------------------------------------------------------------------

template <class... F>
consteval bool all_skip_destructor(type_list<F...>) {
  return (true && ... && (std::is_reference_v<F> || skip_destructor<std::remove_cvref_t<F>>));
}

template <class T>
constexpr bool computed_skip_destructor() {
  if constexpr (std::is_trivially_destructible_v<T>) return true;
  else if constexpr (is_collected_vector<T>::value) return skip_destructor<typename is_collected_vector<T>::element>;
  else if constexpr (std::is_array_v<T>) return skip_destructor<std::remove_all_extents_t<T>>;
  else if constexpr (is_std_array<T>::value) return skip_destructor<typename is_std_array<T>::element>;
  else if constexpr (shape_of<T>() == shape::bindable && !is_own_root<T>) return all_skip_destructor(fields_of<T>{});
  else return false;
}

// ---- what cannot be held ---------------------------------------------------------------------------------------------

// A gc_ptr, or something with one in it, as far as can be seen.
template <class T>
consteval bool holds_handle();
template <class... F>
consteval bool any_holds_handle(type_list<F...>) {
  return (false || ... || holds_handle<std::remove_cvref_t<F>>());
}
template <class T>
consteval bool holds_handle() {
  if constexpr (std::is_pointer_v<T>) return false;
  else if constexpr (is_one_pointer<T> || is_slice<T> || is_collected_vector<T>::value) return true;
  else if constexpr (std::is_array_v<T>) return holds_handle<std::remove_all_extents_t<T>>();
  else if constexpr (is_std_array<T>::value) return holds_handle<typename is_std_array<T>::element>();
  else if constexpr (is_pair<T>::value)
    return holds_handle<std::remove_cvref_t<typename T::first_type>>() ||
           holds_handle<std::remove_cvref_t<typename T::second_type>>();
  else if constexpr (layout_access::has_fields<T>) return true;
  else if constexpr (shape_of<T>() == shape::bindable) return any_holds_handle(fields_of<T>{});
  else return false;
}

template <class T>
constexpr void check_holdable() noexcept;

template <class T>
struct holdable {
  static constexpr void check() noexcept {
    if constexpr (std::is_array_v<T>) check_holdable<std::remove_all_extents_t<T>>();
    else if constexpr (is_std_array<T>::value) check_holdable<typename is_std_array<T>::element>();
    else if constexpr (shape_of<T>() == shape::bindable) check_fields(fields_of<T>{});
  }
  template <class... F>
  static constexpr void check_fields(type_list<F...>) noexcept {
    (check_holdable<std::remove_cvref_t<F>>(), ...);
  }
};
template <class... A>
struct holdable<std::variant<A...>> {
  static constexpr void check() noexcept {
    static_assert(!(false || ... || holds_handle<A>()),
                  "a std::variant that can hold a gc_ptr must not lie in a collected object, where its words change their "
                  "meaning: keep the gc_ptr beside the variant, or make the variant an object of its own with make_gc and point to it");
  }
};
template <>
struct holdable<std::any> {
  template <class T = void>
  static constexpr void check() noexcept {
    static_assert(!std::is_void_v<T>, "a std::any in a collected object can hold a gc_ptr where the collector would lose it: use "
                                      "a gc_ptr to a base class instead");
  }
};
template <class R, class... A>
struct holdable<std::function<R(A...)>> {
  template <class T = void>
  static constexpr void check() noexcept {
    static_assert(!std::is_void_v<T>, "a std::function in a collected object can hold a gc_ptr where the collector would lose it: "
                                      "make an object with a virtual function instead, and capture root<T> in std::function elsewhere");
  }
};

// Compiles if a T may lie in a collected object, as far as that can be seen.
template <class T>
constexpr void check_holdable() noexcept {
  holdable<std::remove_cv_t<T>>::check();
}

}  // namespace cairn::detail
