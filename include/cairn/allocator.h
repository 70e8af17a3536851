// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// gc_allocator<T>: containers in collected memory. cairn::vector<T> is std::vector with it.
//
// Its `pointer` is gc_ptr<T>, so a container that keeps `pointer`s writes them through the barrier:
// std::vector, std::deque, std::basic_string and all of Boost.Container. The node containers of libstdc++ keep
// raw links whatever the allocator says; those are refused by name. Such a container lives where a gc_ptr may;
// so do its elements.
//
// Freed memory is left to the collector: an iterator or a reference never dangles, it only sees what was destroyed.
#pragma once
#include <cstddef>
#include <memory>
#include <new>
#include <string_view>
#include <type_traits>
#include <vector>

#include "cairn/detail/object.h"
#include "cairn/gc_ptr.h"

namespace cairn {

namespace detail {

// "_List_node" of "std::_List_node<int>".
constexpr std::string_view template_name(std::string_view type) noexcept {
  type = type.substr(0, type.find('<'));
  const std::size_t colon = type.rfind(':');
  return colon == std::string_view::npos ? type : type.substr(colon + 1);
}

// The nodes in which libstdc++ keeps raw links, and the shared states that it points to with raw pointers.
template <class T>
constexpr bool is_raw_link_node() noexcept {
  if (!pretty_name<T>().starts_with("std::")) return false;
  constexpr std::string_view name = template_name(pretty_name<T>());
  return name == "_List_node" || name == "_Fwd_list_node" || name == "_Rb_tree_node" ||
         name == "_Hash_node" || name == "_Sp_counted_ptr_inplace" || name == "_Sp_counted_deleter";
}

}  // namespace detail

// Stateless; any two are equal. Thread-safe.
template <class T>
class gc_allocator {
  static_assert(!detail::is_raw_link_node<T>(),
                "the node containers of the standard library and std::shared_ptr link their memory by raw "
                "pointers, which "
                "gc_allocator cannot make safe: use boost::container::list, slist, map, set, flat_map ... or "
                "cairn::vector with it, or root<T> as element with std::allocator");

 public:
  using value_type = T;
  using pointer = gc_ptr<T>;
  using const_pointer = gc_ptr<const T>;
  using void_pointer = gc_ptr<void>;
  using const_void_pointer = gc_ptr<const void>;
  using size_type = std::size_t;
  using difference_type = std::ptrdiff_t;
  using is_always_equal = std::true_type;
  using propagate_on_container_move_assignment = std::true_type;
  template <class U>
  struct rebind {
    static_assert(
        !(std::is_same_v<T, bool> && std::is_same_v<U, unsigned long>),
        "std::vector<bool> keeps raw pointers to its words, which gc_allocator cannot make safe: use "
        "cairn::vector<char>, std::bitset or boost::container::vector<bool, gc_allocator<bool>>");
    using other = gc_allocator<U>;
  };

  constexpr gc_allocator() noexcept = default;
  template <class U>
  constexpr gc_allocator(const gc_allocator<U>&) noexcept {}

  // Zeroed memory for n elements. Throws std::bad_alloc, std::bad_array_new_length if the size overflows.
  pointer allocate(size_type n) {
    static_assert(alignof(T) <= detail::k_max_align,
                  "Cairn aligns objects up to 4096 bytes: put what needs more in memory of your own");
    detail::check_holdable<T>();
    constexpr size_type k_most = static_cast<size_type>(-1) / 2 / sizeof(T);
    if (n > k_most) throw std::bad_array_new_length();
    if (n == 0) return nullptr;
    return static_cast<T*>(
        detail::allocate_bytes(n * sizeof(T), alignof(T), detail::array_layout<T>(n), true));
  }
  // Nothing: the collector frees what nothing refers to.
  void deallocate(pointer, size_type) noexcept {}

  // Destroys *p and clears its pointers, so that a container's spare capacity keeps nothing alive.
  template <class U>
  void destroy(U* p) noexcept(std::is_nothrow_destructible_v<U>) {
    std::destroy_at(p);
    if constexpr (!is_noscan<U>) detail::clear_words(const_cast<std::remove_cv_t<U>*>(p), sizeof(U));
  }
};

template <class T, class U>
constexpr bool operator==(const gc_allocator<T>&, const gc_allocator<U>&) noexcept {
  return true;
}

// Copying and growing cost what they cost a std::vector; memory that growth leaves behind is the collector's.
template <class T>
using vector = std::vector<T, gc_allocator<T>>;

}  // namespace cairn
