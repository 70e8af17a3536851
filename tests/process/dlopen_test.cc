// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Libraries that come and go: their static data are roots from dlopen to dlclose, also while others collect.
#include <cairn/cairn.h>
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <thread>
#include <vector>

#include "api/support.h"
#include "scale.h"

namespace {

using namespace cairn_test;

class plugin {
 public:
  plugin() : handle_(dlopen(CAIRN_ROOTS_PLUGIN, RTLD_NOW | RTLD_LOCAL)) {
    if (handle_ == nullptr) throw std::runtime_error(dlerror());
    find(fill, "fill_plugin");
    find(is, "plugin_is");
    find(first, "plugin_cell");
    find(empty, "empty_plugin");
  }
  ~plugin() { dlclose(handle_); }
  plugin(const plugin&) = delete;

  void (*fill)(std::uint64_t) = nullptr;
  bool (*is)(std::uint64_t) = nullptr;
  void* (*first)() = nullptr;
  void (*empty)() = nullptr;

 private:
  template <class F>
  void find(F& function, const char* name) {
    function = reinterpret_cast<F>(dlsym(handle_, name));
    if (function == nullptr) throw std::runtime_error(dlerror());
  }
  void* handle_;
};

TEST(Dlopen, StaticDataOfALoadedLibraryIsARoot) {
  plugin p;
  for (std::uint64_t n = 0; n < 3; ++n) {
    p.fill(1000 * n);
    collect_and_reuse();
    collect_and_reuse();
    EXPECT_TRUE(p.is(1000 * n));
  }
  p.empty();
}

TEST(Dlopen, WhatAnUnloadedLibraryHeldDies) {
  cairn::gc_weak<cell> weak;
  apart([&] {
    plugin p;
    p.fill(3);
    weak = static_cast<cell*>(p.first());
    cairn::gc::collect();
    EXPECT_TRUE(p.is(3));
    p.empty();
  });
  void* still_there = dlopen(CAIRN_ROOTS_PLUGIN, RTLD_NOW | RTLD_NOLOAD);
  ASSERT_EQ(still_there, nullptr) << "the library was not unloaded, so this test shows nothing";
  EXPECT_TRUE(dies(weak));
}

TEST(Dlopen, LoadingAndUnloadingWhileOthersCollect) {
  std::atomic<bool> stop{false};
  std::vector<std::thread> others;
  others.emplace_back([&] {
    while (!stop) cairn::gc::collect();
  });
  others.emplace_back([&] {
    while (!stop) ASSERT_TRUE(is_list(make_list(1, 300), 1, 300));
  });
  for (std::uint64_t i = 0; i < test_count(150, 20); ++i) {
    plugin p;
    p.fill(i);
    std::this_thread::yield();
    ASSERT_TRUE(p.is(i));
    churn(200);
    ASSERT_TRUE(p.is(i));
    p.empty();
  }
  stop = true;
  for (auto& t : others) t.join();
  EXPECT_TRUE(cairn::gc::verify());
}

}  // namespace
