// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// A test double of the gc layer, so that the tests of sched can run without a heap: what include/cairn/detail/entry.h
// and sched/hooks.h ask for, by malloc, never collected. Left out where the tests link the library.
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <set>
#include <stdexcept>
#include <thread>

#include "cairn/detail/assert.h"
#include "cairn/detail/entry.h"
#include "sched/hooks.h"

unsigned char cairn_barrier_flags = 0;

namespace cairn::detail {

int check_level = 1;

void assertion_failed(const char* condition, const char* message, const char* file, int line) noexcept {
  std::fprintf(stderr, "%s:%d: %s (%s)\n", file, line, message, condition);
  std::abort();
}

namespace {

// What was handed out, so that a checker of leaks finds it: goroutines that a run drops release nothing.
class kept_addresses {
 public:
  void add(void* p) {
    sched::runtime_section section;  // not stopped while it holds the mutex
    std::lock_guard held(mutex_);
    all_.insert(p);
  }
  void remove(void* p) {
    sched::runtime_section section;
    std::lock_guard held(mutex_);
    all_.erase(p);
  }

 private:
  std::mutex mutex_;
  std::set<void*> all_;
};

kept_addresses& kept() {
  static auto* all = new kept_addresses;
  return *all;
}

}  // namespace

void* allocate_closure(std::size_t bytes, std::size_t align) {
  sched::self();
  void* p = std::aligned_alloc(align < 16 ? 16 : align, (bytes + 4095) / 4096 * 4096);
  if (p == nullptr) throw std::bad_alloc();
  std::memset(p, 0, bytes);
  kept().add(p);
  return p;
}
void* allocate_bytes(std::size_t bytes, std::size_t align, layout_info, bool) {
  return allocate_closure(bytes, align);
}
void* allocate_slow(unsigned span_class, std::uint64_t) {
  return allocate_closure(k_class_bytes[span_class / 2], 16);
}

void** root_acquire(void* value) {
  sched::self();
  auto* slot = new void*(value);
  kept().add(slot);
  return slot;
}
void root_release(void** slot) noexcept {
  kept().remove(slot);
  delete slot;
}

void barrier_slow(const void*, const void*, const void*, const char*) noexcept {}
void bulk_barrier_slow(const void*, std::size_t) noexcept {}

}  // namespace cairn::detail

namespace cairn::sched {

const hook_table hooks = {
    .start =
        [](const options& chosen, bool) {
          if (chosen.max_procs && *chosen.max_procs < 1) throw std::invalid_argument("max_procs");
          const char* number = std::getenv("CAIRNSIGNAL");
          initialise(number != nullptr ? std::atoi(number) : SIGURG);
          set_max_procs(chosen.max_procs.value_or(static_cast<int>(std::thread::hardware_concurrency())));
        },
    .on_attach = [](m&) noexcept {},
    .on_detach = [](m&) noexcept {},
    .scan_goroutine = [](goroutine&) noexcept {},
    .blacken = [](m&) noexcept {},
    .may_wake = []() noexcept { return false; },
    .on_pause = [](m&, interruption, heap::interval) noexcept {},
    .on_scopes_lost = [](unsigned) noexcept {},
};

}  // namespace cairn::sched
