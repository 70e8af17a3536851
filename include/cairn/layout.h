// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// How a type tells the collector where its pointers are.
//
//   nothing to do   arithmetic types, enums, aggregates and arrays of them: pointer-free (noscan)
//                   aggregates with gc_ptr members and the like: their words are found at compile time
//   CAIRN_GC_FIELDS a class with constructors, private members, ...: names the members that hold pointers
//   is_noscan       specialise it to true for a class that holds none
//   otherwise       every word of the object is looked at: safe for any type, and slower
#pragma once
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

namespace cairn {

template <class T>
class gc_ptr;
template <class T>
class gc_atomic;
template <class T>
class gc_slice;
template <class T>
class gc_weak;
template <class T>
class root;
template <class T>
class unique_gc;
template <class T>
class gc_allocator;
template <class T>
class chan;
template <class T>
class send_chan;
template <class T>
class recv_chan;

namespace detail {
struct layout_access;
}

}  // namespace cairn

// Inside a class: the pointers of `Class` are in the members listed, and nowhere else but in the bases that
// CAIRN_GC_BASES lists. A member may be a gc_ptr, or anything else that holds some, but not a reference. A
// class derived from it has to say it again.
#define CAIRN_GC_FIELDS(Class, ...)                                                               \
  friend struct ::cairn::detail::layout_access;                                                   \
  using cairn_gc_class = Class;                                                                   \
  template <class CairnVisitor_>                                                                  \
  __attribute__((no_sanitize("undefined"))) void cairn_gc_fields(CairnVisitor_&& cairn_visitor) { \
    cairn_visitor(__VA_ARGS__);                                                                   \
  }
// Beside CAIRN_GC_FIELDS: bases (not virtual ones) that hold pointers themselves.
#define CAIRN_GC_BASES(Class, ...)                            \
  template <class CairnVisitor_>                              \
  static void cairn_gc_bases(CairnVisitor_&& cairn_visitor) { \
    cairn_visitor.template operator()<Class, __VA_ARGS__>();  \
  }

#include "cairn/detail/layout_types.h"

namespace cairn {

// True for types whose objects the collector need not look into. Specialise it for a class of yours that holds
// no pointer to a collected object, in itself or by way of memory that only it knows; wrongly said, objects are
// lost.
template <class T>
inline constexpr bool is_noscan = detail::computed_noscan<T>();

// True where the collector need not run the destructor of an unreachable T, because all that it would do is give memory
// back: specialise it for types like that.
template <class T>
inline constexpr bool skip_destructor = detail::computed_skip_destructor<T>();

}  // namespace cairn

#include "cairn/detail/layout_mask.h"
