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
#include <utility>
#include <variant>

#include "cairn/layout.h"

namespace cairn::detail {

__extension__ typedef __int128 int128;
__extension__ typedef unsigned __int128 uint128;

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

// ---- noscan --------------------------------------------------------------------------------------------------------

template <class... F>
consteval bool all_noscan(type_list<F...>) {
  return (true && ... && (!std::is_reference_v<F> && is_noscan<std::remove_cv_t<F>>));
}

struct noscan_probe : uncopied {
  template <class U>
  requires(is_noscan<std::remove_cv_t<U>>) operator U() const noexcept;
};
struct scan_probe : uncopied {
  template <class U>
  requires(!is_noscan<std::remove_cv_t<U>>) operator U() const noexcept;
};
// An element that is not noscan may take noscan_probe for its first member, but takes scan_probe for itself.
template <class T, int n, int i = 0>
consteval bool elements_noscan() {
  if constexpr (i >= n) return true;
  else if constexpr (element_takes<T, scan_probe, i>()) return false;
  else return element_takes<T, noscan_probe, i>() && elements_noscan<T, n, i + 1>();
}

// Of types without const and volatile.
template <class T>
consteval bool unqualified_noscan() {
  if constexpr (std::is_arithmetic_v<T> || std::is_enum_v<T> || std::is_null_pointer_v<T>) {
    return true;
  } else if constexpr (std::is_same_v<T, int128> || std::is_same_v<T, uint128> || std::is_empty_v<T>) {
    return true;
  } else if constexpr (std::is_pointer_v<T>) {
    return std::is_function_v<std::remove_pointer_t<T>>;
  } else if constexpr (std::is_member_pointer_v<T> || is_time<T>::value || is_malloced<T> || is_own_root<T>) {
    return true;
  } else if constexpr (std::is_array_v<T>) {
    return is_noscan<std::remove_all_extents_t<T>>;
  } else if constexpr (is_std_array<T>::value) {
    return is_noscan<typename is_std_array<T>::element>;
  } else if constexpr (is_composed<T>::value) {
    return all_noscan(typename is_composed<T>::parts{});
  } else if constexpr (bindable<T>) {
    return all_noscan(fields_of<T>{});
  } else if constexpr (shape_of<T>.kind == shape_kind::derived) {
    // A trivial move: no element is a gc_ptr, or has one that the probes missed.
    return std::is_trivially_move_constructible_v<T> && elements_noscan<T, shape_of<T>.elements>();
  } else {
    return false;
  }
}
template <class T>
constexpr bool computed_noscan() {
  if constexpr (!std::is_same_v<T, std::remove_cv_t<T>>) return is_noscan<std::remove_cv_t<T>>;
  else return unqualified_noscan<T>();
}

// ---- masks ---------------------------------------------------------------------------------------------------------

template <class T>
std::uint64_t pointer_mask() noexcept;

// `mask` of something `offset` bytes into an object; everything if the collector, which looks at whole words, could not
// see it there, or if it is not a part of the object.
constexpr std::uint64_t shift_mask(std::uint64_t mask, std::size_t offset) noexcept {
  if (mask == 0) return 0;
  if (offset % k_word_bytes != 0 || offset >= k_most_mask_bytes) return ~std::uint64_t{0};
  return mask << offset / k_word_bytes;
}

// Of n adjacent T; the first 64 words.
template <class T>
constexpr std::uint64_t repeat(std::uint64_t one, std::size_t n) noexcept {
  const std::size_t bytes = n < k_most_mask_bytes ? n * sizeof(T) : k_most_mask_bytes;
  const std::uint64_t all = low_bits((bytes + k_word_bytes - 1) / k_word_bytes);
  if (one == 0 || sizeof(T) % k_word_bytes != 0) return one == 0 ? 0 : all;
  std::uint64_t mask = one;
  for (std::size_t words = sizeof(T) / k_word_bytes; words < 64; words *= 2) mask |= mask << words;
  return mask & all;
}
template <class T>
[[gnu::always_inline]] inline std::uint64_t repeated_mask(std::size_t n) noexcept {
  return repeat<T>(pointer_mask<T>(), n);
}

// Where an object could be, for the addresses of its members.
template <class T>
struct unmade {
  alignas(T) unsigned char bytes[sizeof(T)];
  T& object() noexcept { return reinterpret_cast<T&>(bytes); }
};

template <class Part>
[[gnu::always_inline]] inline std::uint64_t mask_of_part(const void* whole,
                                                         const volatile void* part) noexcept {
  const auto offset = static_cast<std::size_t>(static_cast<const volatile char*>(part) -
                                               static_cast<const char*>(whole));
  return shift_mask(pointer_mask<Part>(), offset);
}

template <class F>
struct may_hold_pointers : std::bool_constant<!is_noscan<std::remove_cv_t<F>>> {};

// It has no address of its own, or no size.
template <class F>
inline constexpr bool is_odd_field = std::is_reference_v<F> || std::is_unbounded_array_v<F>;
template <class... F>
consteval bool any_odd_field(type_list<F...>) {
  return (false || ... || is_odd_field<F>);
}

struct part_masks {
  const void* whole;
  std::uint64_t mask = 0;
  template <class F>
  [[gnu::always_inline]] void operator()(const volatile char* place) noexcept {
    mask |= mask_of_part<F>(whole, place);
  }
};
template <class T>
[[gnu::always_inline]] inline std::uint64_t mask_of_members() noexcept {
  unmade<T> u;
  part_masks masks{&u};
  visit_places<field_count<T>, may_hold_pointers>(u.object(), masks);
  return masks.mask & every_word<T>();
}

template <class T>
struct declared_masks {
  T& object;
  std::uint64_t mask = 0;
  template <class... Member>
  [[gnu::always_inline]] void operator()(Member&... member) noexcept {
    ((mask |= mask_of_part<Member>(address(object), address(member))), ...);
  }
  template <class Class, class... Base>
  [[gnu::always_inline]] void operator()() noexcept {
    static_assert(std::is_same_v<Class, T>,
                  "a base of this class has CAIRN_GC_BASES: the class needs one too, beside its "
                  "CAIRN_GC_FIELDS, and that "
                  "names the class first");
    ((mask |= mask_of_part<Base>(address(object), address(layout_access::base<Base>(object)))), ...);
  }

 private:
  template <class X>
  static const void* address(X& x) noexcept {
    return const_cast<const void*>(static_cast<const volatile void*>(std::addressof(x)));
  }
};
template <class T>
[[gnu::always_inline]] inline std::uint64_t mask_of_declared() noexcept {
  unmade<T> u;
  declared_masks<T> masks{u.object()};
  layout_access::fields(u.object(), masks);
  layout_access::bases<T>(masks);
  return masks.mask & every_word<T>();
}

template <class T>
[[gnu::always_inline]] inline std::uint64_t mask_of_pair() noexcept {
  using first = typename T::first_type;
  using second = typename T::second_type;
  if constexpr (std::is_reference_v<first> || std::is_reference_v<second>) {
    return every_word<T>();
  } else {
    unmade<T> u;
    return mask_of_part<first>(&u, std::addressof(u.object().first)) |
           mask_of_part<second>(&u, std::addressof(u.object().second));
  }
}

// The words of a T in which the collector looks for pointers: bit i for the 8 bytes from 8 * i on, to 512 bytes.
template <class T>
[[gnu::always_inline]] inline std::uint64_t pointer_mask() noexcept {
  if constexpr (!std::is_same_v<T, std::remove_cv_t<T>>) {
    return pointer_mask<std::remove_cv_t<T>>();
  } else if constexpr (is_noscan<T> || is_own_root<T>) {
    return 0;
  } else if constexpr (is_one_pointer<T> || is_slice<T> || is_channel<T>) {
    return 1;
  } else if constexpr (sizeof(T) > k_most_mask_bytes) {
    return ~std::uint64_t{0};
  } else if constexpr (std::is_bounded_array_v<T>) {
    return repeated_mask<std::remove_all_extents_t<T>>(sizeof(T) / sizeof(std::remove_all_extents_t<T>));
  } else if constexpr (is_std_array<T>::value) {
    return repeated_mask<typename is_std_array<T>::element>(is_std_array<T>::size);
  } else if constexpr (is_pair<T>::value) {
    return mask_of_pair<T>();
  } else if constexpr (layout_access::has_fields<T>) {
    return mask_of_declared<T>();
  } else if constexpr (bindable<T>) {
    if constexpr (any_odd_field(fields_of<T>{})) return every_word<T>();
    else return mask_of_members<T>();
  } else {
    return every_word<T>();
  }
}

// ---- zero initialisation -------------------------------------------------------------------------------------------

template <class F>
struct any_field : std::true_type {};

// The value is one whose bytes are all zero; asked at compile time, of what is_plain.
template <class T>
constexpr bool is_zero(const T& value) {
  if constexpr (std::is_enum_v<T>) {
    return static_cast<std::underlying_type_t<T>>(value) == 0;
  } else if constexpr (std::is_floating_point_v<T>) {
    return value == 0 && __builtin_copysignl(1, value) > 0;
  } else if constexpr (std::is_arithmetic_v<T> || std::is_pointer_v<T>) {
    return value == T{};
  } else if constexpr (is_one_pointer<T>) {
    return value.get() == nullptr;
  } else if constexpr (is_slice<T> || std::is_null_pointer_v<T>) {
    return true;  // no other slice can be made at compile time
  } else if constexpr (std::is_array_v<T> || is_std_array<T>::value) {
    for (const auto& element : value)
      if (!is_zero(element)) return false;
    return true;
  } else if constexpr (is_pair<T>::value) {
    return is_zero(value.first) && is_zero(value.second);
  } else {
    bool zero = true;
    visit_fields<field_count<T>, any_field>(value,
                                            [&zero](const auto& member) { zero = zero && is_zero(member); });
    return zero;
  }
}

template <class T>
constexpr bool value_is_zero() {
  T value{};
  return is_zero(value);
}
template <class T>
concept known_zero = requires {
  requires std::bool_constant < value_is_zero<T>()
  > ::value;
};

template <class... F>
consteval bool all_plain(type_list<F...>);
// A T{} can be looked at in a constant expression, and has no side effects.
template <class T>
consteval bool is_plain() {
  if constexpr (std::is_volatile_v<T> || is_odd_field<T>) return false;
  else if constexpr (!std::is_same_v<T, std::remove_cv_t<T>>) return is_plain<std::remove_cv_t<T>>();
  else if constexpr (std::is_scalar_v<T>) return !std::is_member_pointer_v<T>;
  else if constexpr (is_atomic_handle<T>) return false;  // what it holds cannot be asked
  else if constexpr (is_one_pointer<T> || is_slice<T>) return true;
  else if constexpr (std::is_array_v<T>) return is_plain<std::remove_all_extents_t<T>>();
  else if constexpr (is_std_array<T>::value) return is_plain<typename is_std_array<T>::element>();
  else if constexpr (is_pair<T>::value) return all_plain(typename is_composed<T>::parts{});
  else if constexpr (bindable<T>) return !shape_of<T>.has_empty_base && all_plain(fields_of<T>{});
  else return false;
}
template <class... F>
consteval bool all_plain(type_list<F...>) {
  return (true && ... && is_plain<F>());
}

template <class T>
consteval bool computed_zero_initialised() {
  using U = std::remove_cv_t<T>;
  if constexpr (std::is_arithmetic_v<U> || std::is_enum_v<U> || std::is_pointer_v<U>) return true;
  else if constexpr (is_one_pointer<U> || is_slice<U>) return true;
  else if constexpr (std::is_array_v<U>) return computed_zero_initialised<std::remove_all_extents_t<U>>();
  else if constexpr (is_std_array<U>::value)
    return computed_zero_initialised<typename is_std_array<U>::element>();
  else if constexpr (is_plain<U>() && sizeof(U) <= 4096) return known_zero<U>;
  else return false;
}

// make_gc<T>() need not construct anything: value-initialising a T is filling it with zeros, which its memory is.
template <class T>
inline constexpr bool is_zero_initialised = computed_zero_initialised<T>();

// ---- destructors ---------------------------------------------------------------------------------------------------

template <class... F>
consteval bool all_skip_destructor(type_list<F...>) {
  return (true && ... && (std::is_reference_v<F> || skip_destructor<std::remove_cvref_t<F>>));
}

// An aggregate declares no constructors. If moving it is not copying it, its move constructor was not suppressed: it
// declares no destructor either, and there is none but its members'.
template <class T>
inline constexpr bool has_implicit_destructor = std::is_nothrow_move_constructible_v<T> &&
                                                !std::is_nothrow_copy_constructible_v<T>;

template <class T>
constexpr bool computed_skip_destructor() {
  if constexpr (std::is_trivially_destructible_v<T>) return true;
  else if constexpr (!std::is_same_v<T, std::remove_cv_t<T>>) return skip_destructor<std::remove_cv_t<T>>;
  else if constexpr (is_collected_vector<T>::value)
    return skip_destructor<typename is_collected_vector<T>::element>;
  else if constexpr (std::is_array_v<T>) return skip_destructor<std::remove_all_extents_t<T>>;
  else if constexpr (is_std_array<T>::value) return skip_destructor<typename is_std_array<T>::element>;
  else if constexpr (is_pair<T>::value)
    return skip_destructor<typename T::first_type> && skip_destructor<typename T::second_type>;
  else if constexpr (bindable<T> && !shape_of<T>.has_empty_base)
    return has_implicit_destructor<T> && all_skip_destructor(fields_of<T>{});
  else return false;
}

// ---- what cannot be held -------------------------------------------------------------------------------------------

// A gc_ptr, or something with one in it, as far as can be seen.
template <class T>
consteval bool holds_handle();
template <class... F>
consteval bool any_holds_handle(type_list<F...>) {
  return (false || ... || (!std::is_reference_v<F> && holds_handle<std::remove_cv_t<F>>()));
}
template <class T>
consteval bool holds_handle() {
  if constexpr (std::is_pointer_v<T>) return false;
  else if constexpr (is_one_pointer<T> || is_slice<T> || is_channel<T> || is_collected_vector<T>::value)
    return true;
  else if constexpr (std::is_array_v<T>) return holds_handle<std::remove_all_extents_t<T>>();
  else if constexpr (is_std_array<T>::value) return holds_handle<typename is_std_array<T>::element>();
  else if constexpr (is_composed<T>::value) return any_holds_handle(typename is_composed<T>::parts{});
  else if constexpr (layout_access::has_fields<T>) return true;
  else if constexpr (bindable<T>) return any_holds_handle(fields_of<T>{});
  else return false;
}

template <class T>
constexpr void check_holdable() noexcept;

template <class... F>
constexpr void check_parts(type_list<F...>) noexcept {
  (check_holdable<std::conditional_t<std::is_reference_v<F>, char, F>>(), ...);
}
template <class T>
struct holdable {
  static constexpr void check() noexcept {
    if constexpr (std::is_array_v<T>) check_holdable<std::remove_all_extents_t<T>>();
    else if constexpr (is_std_array<T>::value) check_holdable<typename is_std_array<T>::element>();
    else if constexpr (is_composed<T>::value) check_parts(typename is_composed<T>::parts{});
    else if constexpr (bindable<T>) check_parts(fields_of<T>{});
  }
};
template <class... A>
struct holdable<std::variant<A...>> {
  static constexpr void check() noexcept {
    static_assert(!any_holds_handle(type_list<A...>{}),
                  "a std::variant that can hold a gc_ptr must not lie in a collected object, where its words "
                  "change their "
                  "meaning: keep the gc_ptr beside the variant, or use a gc_ptr to a base class instead");
    check_parts(type_list<A...>{});
  }
};
template <>
struct holdable<std::any> {
  template <class T = void>
  static constexpr void check() noexcept {
    static_assert(!std::is_void_v<T>,
                  "a std::any in a collected object can hold a gc_ptr where the collector would lose it: use "
                  "a gc_ptr to a base class instead");
  }
};
template <class R, class... A>
struct holdable<std::function<R(A...)>> {
  template <class T = void>
  static constexpr void check() noexcept {
    static_assert(
        !std::is_void_v<T>,
        "a std::function in a collected object can hold a gc_ptr where the collector would lose it: "
        "make an object with a virtual function instead, and capture root<T> in std::function elsewhere");
  }
};

// Compiles if a T may lie in a collected object, as far as that can be seen.
template <class T>
constexpr void check_holdable() noexcept {
  holdable<std::remove_cv_t<T>>::check();
}

}  // namespace cairn::detail
