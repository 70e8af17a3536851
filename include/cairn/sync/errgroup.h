// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// sync::errgroup: goroutines that work on one task, of which the first to fail stops the others.
#pragma once
#include <atomic>
#include <concepts>
#include <cstdint>
#include <exception>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "cairn/context.h"
#include "cairn/detail/kept.h"
#include "cairn/go.h"
#include "cairn/sync/semaphore.h"
#include "cairn/sync/wait_group.h"

namespace cairn::detail {
// How many runs there were before this one.
std::uint32_t run_number() noexcept;
// `run`: that of the goroutines that were still running when they were last heard of.
[[gnu::cold]] void errgroup_destroyed_early(std::uint32_t run) noexcept;
}  // namespace cairn::detail

namespace cairn::sync {

// As golang.org/x/sync/errgroup. Lives where a gc_ptr may, and as long as its goroutines run: until wait() has
// returned. A goroutine that destroys it before ends the program with a message.
class errgroup {
 public:
  errgroup() : errgroup(background()) {}
  // Its context is one of `parent`.
  explicit errgroup(context parent) : errgroup(with_cancel_cause(std::move(parent))) {}
  errgroup(const errgroup&) = delete;
  errgroup& operator=(const errgroup&) = delete;
  ~errgroup() {
    if (running_.load(std::memory_order_relaxed) != 0) [[unlikely]]
      detail::errgroup_destroyed_early(run_.load(std::memory_order_relaxed));
  }

  // Runs f in a goroutine of the group; waits before, if there is a limit, until there are few enough. What f
  // throws is a failure: the first one cancels ctx(), with it as the cause.
  template <class F>
  requires std::invocable<std::decay_t<F>>
  void go(F&& f) {
    if (limit_) limit_->acquire();
    start(std::forward<F>(f));
  }
  // False, and nothing happens, if go() would have to wait.
  template <class F>
  requires std::invocable<std::decay_t<F>>
  bool try_go(F&& f) {
    if (limit_ && !limit_->try_acquire()) return false;
    start(std::forward<F>(f));
    return true;
  }
  // Returns when all have ended, and ctx() is cancelled; rethrows the first failure.
  void wait() {
    all_.wait();
    cancel_(error_);
    if (error_) std::rethrow_exception(error_);
  }
  // At most n at once from here on; none at all for 0, no limit for less. Throws std::logic_error while some run.
  void set_limit(int n) {
    if (running_.load(std::memory_order_relaxed) != 0)
      throw std::logic_error("errgroup::set_limit: goroutines of the group are running");
    limit_.reset();
    if (n >= 0) limit_.emplace(n);
  }
  // Cancelled by the first failure, and when wait() returns.
  context ctx() const { return ctx_; }

 private:
  explicit errgroup(std::pair<context, cancel_cause_func> made) : ctx_(made.first), cancel_(made.second) {}

  // Also what its goroutine does last but for done(), after which the group may be gone.
  void finish() {
    running_.fetch_sub(1, std::memory_order_relaxed);
    if (limit_) limit_->release();
  }
  void fail(std::exception_ptr why) {
    if (failed_.exchange(true, std::memory_order_relaxed)) return;
    error_ = why;  // seen by who has waited
    cancel_(std::move(why));
  }
  template <class F>
  void start(F&& f) {
    running_.fetch_add(1, std::memory_order_relaxed);
    run_.store(detail::run_number(), std::memory_order_relaxed);
    try {
      all_.go([this, function = std::decay_t<F>(std::forward<F>(f))]() mutable {
        defer finished{[this] { finish(); }};
        try {
          std::decay_t<F> call(std::move(function));
          std::move(call)();
        } catch (...) {
          if (detail::is_exiting()) throw;
          fail(std::current_exception());
        }
      });
    } catch (...) {
      finish();
      throw;
    }
  }

  context ctx_;
  cancel_cause_func cancel_;
  wait_group all_;
  std::atomic<int> running_{0};
  std::atomic<std::uint32_t> run_{0};  // of the last one that was started
  std::atomic<bool> failed_{false};
  std::exception_ptr error_;
  std::optional<semaphore> limit_;
};

}  // namespace cairn::sync
