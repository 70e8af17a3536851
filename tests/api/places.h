// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The five places where a managed pointer may live, each as a template that gives one such pointer:
// `of<T>::slot()`. A typed test over `all_places` runs each of its cases in every place.
#pragma once
#include <cairn/cairn.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "api/support.h"

namespace cairn_test {

// Local variables of the test, so the slot lies on its stack.
struct on_the_stack {
  static constexpr const char* k_name = "Stack";
  template <class T>
  struct of {
    using handle = cairn::gc_ptr<T>;
    handle p;
    handle& slot() { return p; }
  };
};

struct in_an_object {
  static constexpr const char* k_name = "Object";
  template <class T>
  struct of {
    using handle = cairn::gc_ptr<T>;
    struct holder {
      std::uint64_t before;
      handle p;
      std::uint64_t after;
    };
    cairn::gc_ptr<holder> h = cairn::make_gc<holder>();
    handle& slot() { return h->p; }
  };
};

struct in_static_data {
  static constexpr const char* k_name = "Static";
  template <class T>
  struct of {
    using handle = cairn::gc_ptr<T>;
    static inline handle p;
    of() { p = nullptr; }
    ~of() { p = nullptr; }
    of(const of&) = delete;
    handle& slot() { return p; }
  };
};

struct in_a_thread_local {
  static constexpr const char* k_name = "ThreadLocal";
  template <class T>
  struct of {
    using handle = cairn::gc_ptr<T>;
    static inline thread_local handle p;
    of() { p = nullptr; }
    ~of() { p = nullptr; }
    of(const of&) = delete;
    handle& slot() { return p; }
  };
};

struct in_malloc_memory {
  static constexpr const char* k_name = "RootInMallocMemory";
  template <class T>
  struct of {
    using handle = cairn::root<T>;
    std::unique_ptr<handle> p = std::make_unique<handle>();
    handle& slot() { return *p; }
  };
};

using all_places = testing::Types<on_the_stack, in_an_object, in_static_data, in_a_thread_local,
                                  in_malloc_memory>;

struct place_names {
  template <class Place>
  static std::string GetName(int) {
    return Place::k_name;
  }
};

}  // namespace cairn_test
