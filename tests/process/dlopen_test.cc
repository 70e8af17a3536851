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
    find(fill_thread, "fill_thread");
    find(thread_is, "thread_is");
    find(first, "plugin_cell");
  }
  ~plugin() { dlclose(handle_); }
  plugin(const plugin&) = delete;

  void (*fill)(std::uint64_t) = nullptr;
  bool (*is)(std::uint64_t) = nullptr;
  void (*fill_thread)(std::uint64_t) = nullptr;
  bool (*thread_is)(std::uint64_t) = nullptr;
  void* (*first)() = nullptr;

 private:
  template <class F>
  void find(F& function, const char* name) {
    function = reinterpret_cast<F>(dlsym(handle_, name));
    if (function == nullptr) throw std::runtime_error(dlerror());
  }
  void* handle_;
};

bool is_loaded() {
  void* handle = dlopen(CAIRN_ROOTS_PLUGIN, RTLD_NOW | RTLD_NOLOAD);
  if (handle != nullptr) dlclose(handle);
  return handle != nullptr;
}

TEST(Dlopen, StaticDataOfALoadedLibraryIsARoot) {
  plugin p;
  for (std::uint64_t n = 0; n < 3; ++n) {
    p.fill(1000 * n);
    collect_and_reuse();
    collect_and_reuse();
    EXPECT_TRUE(p.is(1000 * n));
  }
}

TEST(Dlopen, ARootInItsThreadLocalDataKeeps) {
  plugin p;
  apart([&] {  // a thread-local with a destructor holds the library until its thread ends
    p.fill_thread(7);
    collect_and_reuse();
    EXPECT_TRUE(p.thread_is(7));
  });
}

TEST(Dlopen, WhatAnUnloadedLibraryHeldDies) {
  cairn::gc_weak<cell> weak;
  {
    plugin p;
    apart([&] {
      p.fill(3);
      weak = static_cast<cell*>(p.first());
      cairn::gc::collect();
      EXPECT_TRUE(p.is(3));
    });
    collect_and_reuse();
    EXPECT_FALSE(is_gone(weak));
  }
  ASSERT_FALSE(is_loaded()) << "the library was not unloaded, so this test shows nothing";
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
    EXPECT_TRUE(p.is(i));
    churn(200);
    EXPECT_TRUE(p.is(i));
    if (i % 8 == 0) apart([&] { p.fill_thread(i); });
  }
  stop = true;
  for (auto& t : others) t.join();
  EXPECT_FALSE(is_loaded());
  EXPECT_TRUE(cairn::gc::verify());
}

}  // namespace
