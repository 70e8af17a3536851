// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// sched/context.h and what sched/fiber_sanitizer.h tells sanitizers about it: under them a wrong word ends these tests.
#include "sched/context.h"

#include <execinfo.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "scale.h"
#include "sched/fiber_sanitizer.h"
#include "sched/stack.h"

namespace cairn::sched {
namespace {

// One side of a switch.
struct side {
  context where;
  [[no_unique_address]] fiber_annotation annotation;
};

[[gnu::noinline]] void switch_sides(side& from, side& to, bool last) {
  from.annotation.before_switch(to.annotation, last);
  switch_context(from.where, to.where);
  from.annotation.after_switch();
}

// Runs body on a stack of its own, when and on which thread it is resumed.
class fiber {
 public:
  explicit fiber(std::function<void(fiber&)> body)
      : body_(std::move(body)), stack_(stacks::take_own(std::size_t{512} << 10)) {
    if (!stack_) throw std::bad_alloc();
    make_context(own_.where, stack_.high, &fiber::enter);
    own_.annotation.created(stack_.low, stack_.high);
  }
  ~fiber() {
    EXPECT_TRUE(ended_);
    own_.annotation.destroyed();
    stacks::give_own(stack_);
  }
  fiber(const fiber&) = delete;
  fiber& operator=(const fiber&) = delete;

  // Until it pauses or ends; true when it has ended.
  bool resume() {
    side thread;
    thread.annotation.thread_created();
    resumer_ = &thread;
    g_starting = this;
    own_.annotation.hand_over();
    switch_sides(thread, own_, false);
    thread.annotation.thread_destroyed();
    return ended_;
  }
  // Called by body.
  void pause() { switch_sides(own_, *resumer_, false); }

  const stack& own_stack() const { return stack_; }
  const context& where() const { return own_.where; }

 private:
  static void enter() { g_starting->run(); }
  [[noreturn]] void run() {
    own_.annotation.after_switch();
    body_(*this);
    ended_ = true;
    switch_sides(own_, *resumer_, true);
    __builtin_unreachable();
  }

  static thread_local fiber* g_starting;
  std::function<void(fiber&)> body_;
  stack stack_;
  side own_;
  side* resumer_ = nullptr;
  bool ended_ = false;
};

thread_local fiber* fiber::g_starting = nullptr;

TEST(Context, RunsOnItsOwnStackWhenItIsSwitchedTo) {
  std::string trace;
  bool on_own_stack = false;
  fiber f([&](fiber& self) {
    volatile char local = 0;
    auto address = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
    on_own_stack = address >= reinterpret_cast<std::uintptr_t>(self.own_stack().low) &&
                   address < reinterpret_cast<std::uintptr_t>(self.own_stack().high);
    static_cast<void>(local);
    trace += 'a';
    self.pause();
    trace += 'b';
    self.pause();
    trace += 'c';
  });
  EXPECT_FALSE(f.resume());
  trace += '1';
  EXPECT_FALSE(f.resume());
  trace += '2';
  EXPECT_TRUE(f.resume());
  EXPECT_EQ(trace, "a1b2c");
  EXPECT_TRUE(on_own_stack);
}

// As the ABI wants it at a call: the compiler keeps it only if it was so at the entry.
TEST(Context, TheStackIsAligned) {
  std::uintptr_t misaligned = 1;
  fiber f([&](fiber&) {
    alignas(16) volatile char vector[16] = {};
    misaligned = reinterpret_cast<std::uintptr_t>(&vector[0]) % 16;
  });
  f.resume();
  EXPECT_EQ(misaligned, 0u);
}

// More values than there are registers that calls preserve, integers and floating point, in use across each switch.
[[gnu::noinline]] std::uint64_t many_values(std::uint64_t seed, const std::function<void()>& pause,
                                            int rounds) {
  std::uint64_t a = seed, b = seed * 3, c = seed * 5, d = seed * 7, e = seed * 11, f = seed * 13,
                g = seed * 17;
  double x = static_cast<double>(seed), y = x * 0.5, z = x * 0.25, w = x * 0.125;
  for (int i = 0; i < rounds; ++i) {
    pause();
    a += b ^ 1, b += c ^ 2, c += d ^ 3, d += e ^ 4, e += f ^ 5, f += g ^ 6, g += a ^ 7;
    x += y, y += z, z += w, w += 1;
  }
  return a ^ b ^ c ^ d ^ e ^ f ^ g ^ static_cast<std::uint64_t>(x + y + z + w);
}

TEST(Context, ValuesInRegistersSurvive) {
  constexpr int k_rounds = 50;
  std::uint64_t results[3] = {};
  std::vector<std::unique_ptr<fiber>> fibers;
  for (std::uint64_t i = 0; i < 3; ++i) {
    fibers.push_back(std::make_unique<fiber>([&results, i](fiber& self) {
      results[i] = many_values(
          i + 100, [&] { self.pause(); }, k_rounds);
    }));
  }
  int at = 0;
  // The resumer's own values are in use across the switches as well.
  const std::uint64_t mine = many_values(
      7, [&] { fibers[static_cast<std::size_t>(at++) % 3]->resume(); }, 3 * k_rounds);
  for (auto& f : fibers) EXPECT_TRUE(f->resume());
  EXPECT_EQ(mine, many_values(
                      7, [] {}, 3 * k_rounds));
  for (std::uint64_t i = 0; i < 3; ++i)
    EXPECT_EQ(results[i], many_values(
                              i + 100, [] {}, k_rounds));
}

TEST(Context, ContinuesOnAnotherThread) {
  std::vector<std::thread::id> ids;
  int sum = 0;
  fiber f([&](fiber& self) {
    for (int i = 0; i < 4; ++i) {
      ids.push_back(std::this_thread::get_id());
      sum += i;
      self.pause();
    }
  });
  for (int i = 0; i < 4; ++i) {
    std::thread([&] { EXPECT_FALSE(f.resume()); }).join();
  }
  EXPECT_TRUE(f.resume());
  EXPECT_EQ(sum, 6);
  ASSERT_EQ(ids.size(), 4u);
}

int throw_deep(int depth, fiber& self) {
  if (depth == 0) {
    self.pause();
    throw std::runtime_error("from below");
  }
  std::string with_destructor(40, 'x');
  return throw_deep(depth - 1, self) + static_cast<int>(with_destructor.size());
}

TEST(Context, ExceptionsAreCaughtInside) {
  int caught = 0;
  fiber f([&](fiber& self) {
    for (int i = 0; i < 10; ++i) {
      try {
        throw_deep(i, self);
      } catch (const std::runtime_error& e) {
        caught += e.what() == std::string("from below");
      }
    }
  });
  while (!f.resume()) {
    try {
      throw 1;  // the thread's own, in between
    } catch (int) {
    }
  }
  EXPECT_EQ(caught, 10);
}

[[gnu::noinline]] int recurse(int depth, fiber& self) {
  volatile char frame[1000];
  frame[depth % 1000] = static_cast<char>(depth);
  if (depth == 0) {
    self.pause();
    return 0;
  }
  return recurse(depth - 1, self) + 1 + (frame[depth % 1000] != static_cast<char>(depth));
}

TEST(Context, DeepRecursionUsesTheWholeStack) {
  int result = 0;
  fiber f([&](fiber& self) { result = recurse(150, self); });
  EXPECT_FALSE(f.resume());
  if (!CAIRN_ASAN) {  // which may keep locals elsewhere (detect_stack_use_after_return)
    EXPECT_LT(static_cast<char*>(f.where().sp), f.own_stack().high - 150 * 1000);
  }
  EXPECT_TRUE(f.resume());
  EXPECT_EQ(result, 150);
}

struct trace {
  void* frames[64];
  int n = 0;
};

void trace_at(int depth, trace& out);
void (*volatile call_trace_at)(int, trace&) = trace_at;  // a frame for each call, whatever the compiler sees

void trace_at(int depth, trace& out) {
  if (depth != 0) {
    call_trace_at(depth - 1, out);
  } else {
    out.n = backtrace(out.frames, 64);
  }
  asm volatile("");  // not a tail call
}

// Where a context continues: see the table in sched/context.h.
std::uintptr_t address_of(const context& c) {
  auto* words = static_cast<const std::uintptr_t*>(c.sp);
#if defined(__x86_64__)
  return words[0];
#else
  return words[1];
#endif
}

TEST(Context, BacktracesEndAtTheEntry) {
  trace shallow, deep;
  fiber f([&](fiber&) {
    call_trace_at(1, shallow);
    call_trace_at(11, deep);
    asm volatile("");
  });
  const std::uintptr_t entry = address_of(f.where());
  f.resume();
  ASSERT_GT(shallow.n, 2);
  EXPECT_EQ(deep.n, shallow.n + 10);
  for (const trace* t : {&shallow, &deep}) {
    auto last = reinterpret_cast<std::uintptr_t>(t->frames[t->n - 1]);
    EXPECT_TRUE(last > entry && last < entry + 64)
        << std::hex << last << " is not in what begins at " << entry;
  }
}

TEST(Context, TheLayoutOfAParkedOneIsAsDocumented) {
  fiber f([](fiber& self) { self.pause(); });
  auto within = [&](std::uintptr_t address) {
    return address >= reinterpret_cast<std::uintptr_t>(f.own_stack().low) &&
           address <= reinterpret_cast<std::uintptr_t>(f.own_stack().high);
  };
  auto parked_sp = [&] { return reinterpret_cast<std::uintptr_t>(f.where().sp) + k_context_bytes; };
  EXPECT_TRUE(within(parked_sp()));
  const std::uintptr_t new_one = address_of(f.where());
  f.resume();
  EXPECT_TRUE(within(parked_sp()));
  const std::uintptr_t continues = address_of(f.where());
  EXPECT_NE(continues, new_one);
  f.resume();
  EXPECT_NE(address_of(f.where()), new_one) << "it was switched away from for good";
}

TEST(Context, AMillionSwitches) {
  const std::size_t rounds = test_count(500'000);
  std::size_t count = 0;
  volatile bool stop = false;  // clang does not see that it may change inside pause()
  fiber f([&](fiber& self) {
    for (; !stop; self.pause()) ++count;
  });
  const auto start = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i < rounds; ++i) f.resume();
  const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
  stop = true;
  f.resume();
  EXPECT_EQ(count, rounds);
  RecordProperty("ns_per_switch", std::to_string(took.count() / (2.0 * static_cast<double>(rounds))));
}

}  // namespace
}  // namespace cairn::sched
