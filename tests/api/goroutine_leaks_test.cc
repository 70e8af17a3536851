// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// goroutine_leaks(): every kind of wait that only others can end, the ways in which these others may be reached, and
// storms beside it. Scenes are made by goroutines that have ended when the report is made. A stale word on a stack may
// hide a leak: so each scene is made several times, and most of them, never more, must be found.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "api/procs.h"

using namespace std::chrono_literals;
using cairn::chan;
using cairn::goroutine_info;
using cairn::make_chan;

namespace {

using cairn_test::crowd;
using cairn_test::eventually;
using cairn_test::on_procs;

// The ids of goroutines that are on their way to where they will wait for ever, or not. Anybody.
class cast {
 public:
  void enter() {
    const std::lock_guard held(lock_);
    ids_.insert(cairn::goroutine_id());
  }
  std::size_t size() const {
    const std::lock_guard held(lock_);
    return ids_.size();
  }
  bool has(std::uint64_t id) const {
    const std::lock_guard held(lock_);
    return ids_.contains(id);
  }

 private:
  mutable std::mutex lock_;
  std::set<std::uint64_t> ids_;
};

std::size_t waiting(const cast& of) {
  std::size_t n = 0;
  for (const goroutine_info& g : cairn::goroutines()) n += g.state == "waiting" && of.has(g.id) ? 1 : 0;
  return n;
}

// All of them have come, and wait.
bool all_wait(const cast& of, std::size_t n) {
  return eventually([&] { return of.size() == n && waiting(of) == n; });
}

[[gnu::noinline]] std::vector<goroutine_info> leaks() {
  cairn_test::clear_stack();
  return cairn::goroutine_leaks();
}

std::size_t count(const std::vector<goroutine_info>& found, const cast& of) {
  return static_cast<std::size_t>(
      std::count_if(found.begin(), found.end(), [&of](const goroutine_info& g) { return of.has(g.id); }));
}

constexpr std::size_t k_copies = 20, k_enough = 17;

// On so many Ps: makes k_copies of a scene on goroutines that end, each of which starts one that enters `leaked` and
// waits for ever for `reason`. All others that there are go on.
void expect_leaks(int procs, const char* reason, void (*scene)(cast& leaked), std::size_t each = 1) {
  on_procs(procs, [&] {
    cast leaked;
    for (std::size_t i = 0; i < k_copies; ++i) cairn::spawn([&] { scene(leaked); }).get();
    ASSERT_TRUE(all_wait(leaked, each * k_copies));
    for (int round = 0; round < 2; ++round) {
      const std::vector<goroutine_info> found = leaks();
      EXPECT_GE(count(found, leaked), each * k_enough) << reason;
      EXPECT_EQ(count(found, leaked), found.size()) << "others are accused";
      for (const goroutine_info& g : found) {
        EXPECT_EQ(g.state, "waiting");
        EXPECT_EQ(g.wait_reason, reason);
        EXPECT_TRUE(g.leaked);
        EXPECT_NE(g.created_at, nullptr);
        EXPECT_NE(g.creator, 0u);
        EXPECT_FALSE(g.backtrace.empty());
      }
    }
  });
}

class GoroutineLeaks : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Procs, GoroutineLeaks, testing::Values(1, 2, 8), testing::PrintToStringParamName());

// ---- what is found -------------------------------------------------------------------------------------------------

TEST_P(GoroutineLeaks, FindsWhoReceivesFromAChannelThatNobodyHas) {
  expect_leaks(GetParam(), "chan receive", [](cast& leaked) {
    cairn::go([c = make_chan<int>(), &leaked] {
      leaked.enter();
      c.recv();
    });
  });
}

TEST_P(GoroutineLeaks, FindsWhoSendsToAChannelThatNobodyHas) {
  expect_leaks(GetParam(), "chan send", [](cast& leaked) {
    cairn::go([c = make_chan<cairn::gc_ptr<int>>(), &leaked] {
      leaked.enter();
      c.send(cairn::make_gc<int>(1));
    });
  });
}

TEST_P(GoroutineLeaks, FindsWhoSendsToAFullChannel) {
  expect_leaks(GetParam(), "chan send", [](cast& leaked) {
    cairn::go([c = make_chan<std::string>(1), &leaked] {
      leaked.enter();
      c.send("one");
      c.send("two");
    });
  });
}

TEST_P(GoroutineLeaks, FindsTheNullChannelAndTheSelectWithoutCases) {
  const auto null_receive = [](cast& leaked) {
    cairn::go([&leaked] {
      leaked.enter();
      chan<int>().recv();
    });
  };
  const auto null_send = [](cast& leaked) {
    cairn::go([&leaked] {
      leaked.enter();
      chan<int>().send(1);
    });
  };
  const auto no_cases = [](cast& leaked) {
    cairn::go([&leaked] {
      leaked.enter();
      cairn::select();
    });
  };
  expect_leaks(GetParam(), "chan receive (nil chan)", null_receive);
  expect_leaks(GetParam(), "chan send (nil chan)", null_send);
  expect_leaks(GetParam(), "select (no cases)", no_cases);
}

TEST_P(GoroutineLeaks, FindsASelectNoneOfWhoseChannelsIsReached) {
  expect_leaks(GetParam(), "select", [](cast& leaked) {
    cairn::go([a = make_chan<int>(), b = make_chan<std::string>(), &leaked] {
      leaked.enter();
      cairn::select(cairn::on_recv(a), cairn::on_send(b, std::string("b")), cairn::on_recv(chan<int>()));
    });
  });
}

struct shared {
  cairn::sync::mutex mutex;
  cairn::sync::rw_mutex rw;
  cairn::sync::semaphore units{0};
  cairn::sync::cond changed;
  cairn::sync::wait_group group;
};

TEST_P(GoroutineLeaks, FindsWhoWaitsForAMutexInAnObjectThatNobodyHas) {
  expect_leaks(GetParam(), "mutex lock", [](cast& leaked) {
    cairn::go([s = cairn::make_gc<shared>(), &leaked] {
      leaked.enter();
      s->mutex.lock();
      s->mutex.lock();
    });
  });
}

TEST_P(GoroutineLeaks, FindsReadersAndWritersOfAMutexThatNobodyHas) {
  expect_leaks(GetParam(), "rw_mutex lock", [](cast& leaked) {
    cairn::go([s = cairn::make_gc<shared>(), &leaked] {
      leaked.enter();
      s->rw.lock_shared();
      s->rw.lock();
    });
  });
  expect_leaks(GetParam(), "rw_mutex lock_shared", [](cast& leaked) {
    cairn::go([s = cairn::make_gc<shared>(), &leaked] {
      leaked.enter();
      s->rw.lock();
      s->rw.lock_shared();
    });
  });
}

TEST_P(GoroutineLeaks, FindsWhoWaitsForASemaphoreACondAndAWaitGroupInAnObject) {
  expect_leaks(GetParam(), "semaphore acquire", [](cast& leaked) {
    cairn::go([s = cairn::make_gc<shared>(), &leaked] {
      leaked.enter();
      s->units.acquire(1);
    });
  });
  expect_leaks(GetParam(), "cond wait", [](cast& leaked) {
    cairn::go([s = cairn::make_gc<shared>(), &leaked] {
      leaked.enter();
      std::unique_lock held(s->mutex);
      s->changed.wait(held);
    });
  });
  expect_leaks(GetParam(), "wait_group wait", [](cast& leaked) {
    cairn::go([s = cairn::make_gc<shared>(), &leaked] {
      leaked.enter();
      s->group.add(1);
      s->group.wait();
    });
  });
}

TEST_P(GoroutineLeaks, FindsWhoWaitsForWhatLiesOnItsOwnStack) {
  expect_leaks(GetParam(), "wait_group wait", [](cast& leaked) {
    cairn::go([&leaked] {
      leaked.enter();
      cairn::sync::wait_group parts;
      parts.add(2);
      cairn::go([&parts] { parts.done(); });
      parts.wait();
    });
  });
}

std::size_t waiting(const cast& of, const char* reason) {
  std::size_t n = 0;
  for (const goroutine_info& g : cairn::goroutines())
    n += g.state == "waiting" && g.wait_reason == reason && of.has(g.id) ? 1 : 0;
  return n;
}

// Deeper down than others wait.
[[gnu::noinline]] void receive_deep_down(const chan<int>& c) {
  char room[1024];
  asm volatile("" : : "r"(room) : "memory");
  c.recv();
  asm volatile("" : : "r"(room) : "memory");
}

// Its place in line is gone with its frame, links to others and all.
[[gnu::noinline]] void wait_once(cairn::sync::wait_group& group) { group.wait(); }

// Who stands in line is told who stood there some before. Those are gone from the line, and wait elsewhere: a thread's
// stack, of which every word counts, must not lead to theirs.
TEST_P(GoroutineLeaks, FindsThoseWhoStoodInLineBeforeThreads) {
  on_procs(GetParam(), [] {
    cast leaked;
    cairn::sync::wait_group gate;
    gate.add(1);
    for (std::size_t i = 0; i < k_copies; ++i)
      cairn::spawn([&] {
        cairn::go([c = make_chan<int>(), &leaked, &gate] {
          leaked.enter();
          wait_once(gate);
          cairn_test::clear_stack();
          receive_deep_down(c);
        });
      }).get();
    ASSERT_TRUE(eventually([&] { return waiting(leaked, "wait_group wait") == k_copies; }));
    gate.done();
    ASSERT_TRUE(eventually([&] { return waiting(leaked, "chan receive") == k_copies; }));
    gate.add(1);
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; ++i) threads.emplace_back([&gate] { gate.wait(); });
    cairn::sleep_for(50ms);
    EXPECT_GE(count(leaks(), leaked), k_enough);
    gate.done();
    cairn::blocking([&threads] {
      for (std::thread& t : threads) t.join();
    });
  });
}

// A thread that has ended leaves its record behind, with the place in it where a goroutine last waited on it. That
// goroutine's stack is another one's now.
TEST_P(GoroutineLeaks, FindsThoseWhoHaveTheStacksOfWhoRanOnThreadsThatHaveEnded) {
  on_procs(GetParam(), [] {
    cast guests;
    const auto go_on = make_chan<int>();
    for (std::size_t i = 0; i < 2 * k_copies; ++i)
      cairn::go([go_on, &guests] {
        const cairn::lock_os_thread own_thread;
        guests.enter();
        go_on.recv();
      });
    EXPECT_TRUE(all_wait(guests, 2 * k_copies));
    go_on.close();
  });
  on_procs(GetParam(), [] {
    cast leaked;
    for (std::size_t i = 0; i < k_copies; ++i)
      cairn::go([c = make_chan<int>(), &leaked] {
        leaked.enter();
        receive_deep_down(c);
      });
    ASSERT_TRUE(all_wait(leaked, k_copies));
    EXPECT_GE(count(leaks(), leaked), k_enough);
  });
}

TEST_P(GoroutineLeaks, FindsWhoWaitsForACancellationThatNobodyCanAskFor) {
  expect_leaks(GetParam(), "chan receive", [](cast& leaked) {
    auto [ctx, cancel] = cairn::with_cancel(cairn::background());
    cairn::go([ctx = ctx, &leaked] {
      leaked.enter();
      ctx.done().recv();
    });
  });
}

// Each has the frame of its handler in it, and lies in malloc memory.
struct exceptions {
  std::mutex lock;
  std::vector<std::exception_ptr> all;

  void keep() {
    const std::lock_guard held(lock);
    all.push_back(std::current_exception());
  }
} g_exceptions;

TEST_P(GoroutineLeaks, FindsThoseWhoseExceptionsAreKept) {
  expect_leaks(GetParam(), "chan receive", [](cast& leaked) {
    cairn::go([c = make_chan<int>(), &leaked] {
      try {
        throw 1;
      } catch (...) {
        g_exceptions.keep();
      }
      leaked.enter();
      c.recv();
    });
  });
  g_exceptions.all.clear();
}

// ---- who holds each other ------------------------------------------------------------------------------------------

TEST_P(GoroutineLeaks, FindsAPairThatHoldsEachOthersChannels) {
  expect_leaks(
      GetParam(), "chan receive",
      [](cast& leaked) {
        const auto a = make_chan<int>(), b = make_chan<int>();
        cairn::go([a, b, &leaked] {
          leaked.enter();
          a.recv();
          b.send(1);
        });
        cairn::go([a, b, &leaked] {
          leaked.enter();
          b.recv();
          a.send(1);
        });
      },
      2);
}

// Each waits for what the next one would do: the last of them on the first.
void ring(cast& members, std::size_t n, chan<int> last) {
  chan<int> mine = last;
  for (std::size_t i = 0; i < n; ++i) {
    const chan<int> next = i + 1 < n ? make_chan<int>() : last;
    cairn::go([mine, next, &members] {
      members.enter();
      next.recv();
      mine.send(1);
    });
    mine = next;
  }
}

TEST_P(GoroutineLeaks, FindsAChainAndLetsItGoWhenItsEndIsHeld) {
  on_procs(GetParam(), [] {
    constexpr std::size_t n = 200;
    cast lost, held;
    const chan<int> end = make_chan<int>();
    cairn::spawn([&] { ring(lost, n, make_chan<int>()); }).get();
    cairn::spawn([&] { ring(held, n, end); }).get();
    ASSERT_TRUE(all_wait(lost, n) && all_wait(held, n));
    const std::vector<goroutine_info> found = leaks();
    // A stale word that leads to one of them leads to all: either or.
    EXPECT_TRUE(count(found, lost) == n || count(found, lost) == 0) << count(found, lost);
    EXPECT_EQ(count(found, held), 0u);
    EXPECT_EQ(found.size(), count(found, lost));
    end.send(1);
    EXPECT_EQ(end.recv(), 1);
  });
}

TEST_P(GoroutineLeaks, FindsParentsWhoWaitForLeakedTasks) {
  on_procs(GetParam(), [] {
    cast leaked;
    for (std::size_t i = 0; i < k_copies; ++i)
      cairn::spawn([&] {
        cairn::go([&leaked] {
          leaked.enter();
          auto child = cairn::spawn([&leaked] {
            leaked.enter();
            make_chan<int>().recv();
          });
          child.get();
        });
      }).get();
    ASSERT_TRUE(all_wait(leaked, 2 * k_copies));
    const std::vector<goroutine_info> found = leaks();
    EXPECT_GE(count(found, leaked), 2 * k_enough);
    EXPECT_EQ(count(found, leaked), found.size());
    EXPECT_GE(std::count_if(found.begin(), found.end(),
                            [](const goroutine_info& g) { return g.wait_reason == "task get"; }),
              static_cast<std::ptrdiff_t>(k_enough));
  });
}

TEST_P(GoroutineLeaks, CountsManyAmongMany) {
  on_procs(GetParam(), [] {
    const std::size_t n = crowd(10'000) / 2;
    cast lost, kept;
    const auto end = make_chan<int>();
    cairn::spawn([&] {
      for (std::size_t i = 0; i < n; ++i) {
        cairn::go([c = make_chan<int>(), &lost] {
          lost.enter();
          c.recv();
        });
        cairn::go([c = make_chan<int>(), end, &kept] {
          kept.enter();
          cairn::select(cairn::on_recv(c), cairn::on_recv(end));
        });
      }
    }).get();
    ASSERT_TRUE(all_wait(lost, n) && all_wait(kept, n));
    for (int round = 0; round < 3; ++round) {
      const std::vector<goroutine_info> found = leaks();
      EXPECT_EQ(found.size(), count(found, lost));
      EXPECT_GE(found.size() + 5, n);
      EXPECT_LE(found.size(), n);
      EXPECT_TRUE(
          std::is_sorted(found.begin(), found.end(),
                         [](const goroutine_info& a, const goroutine_info& b) { return a.id < b.id; }));
    }
    end.close();
    EXPECT_TRUE(eventually([&] { return waiting(kept) == 0; }));
  });
}

// ---- who is reached ------------------------------------------------------------------------------------------------

// None is accused, as long as all members wait.
void expect_none(const cast& members, std::size_t n) {
  ASSERT_TRUE(all_wait(members, n));
  for (int round = 0; round < 3; ++round) {
    const std::vector<goroutine_info> found = leaks();
    EXPECT_EQ(found.size(), 0u) << found[0].wait_reason;
  }
  EXPECT_EQ(waiting(members), n);
}

chan<int> g_channel;
cairn::sync::mutex g_mutex;

TEST_P(GoroutineLeaks, LeavesAloneWhatStaticDataLeadsTo) {
  on_procs(GetParam(), [] {
    cast members;
    cairn::spawn([&] {
      g_channel = make_chan<int>();
      cairn::go([&members, c = g_channel] {
        members.enter();
        c.recv();
      });
    }).get();
    g_mutex.lock();
    cairn::go([&members] {
      members.enter();
      const std::lock_guard held(g_mutex);
    });
    expect_none(members, 2);
    g_channel.send(1);
    g_mutex.unlock();
    g_channel = {};
    EXPECT_TRUE(eventually([&] { return waiting(members) == 0; }));
  });
}

struct holder {
  cairn::gc_ptr<holder> next;
  chan<int> channel;
};

TEST_P(GoroutineLeaks, LeavesAloneWhatALiveGoroutinesObjectsLeadTo) {
  on_procs(GetParam(), [] {
    cast members;
    // A list with the channel at its end, held by a goroutine that sleeps.
    cairn::sync::wait_group over;
    over.go([&members] {
      cairn::gc_ptr<holder> list = cairn::make_gc<holder>();
      list->channel = make_chan<int>();
      cairn::go([&members, c = list->channel] {
        members.enter();
        c.recv();
      });
      for (int i = 0; i < 100; ++i) {
        const cairn::gc_ptr<holder> more = cairn::make_gc<holder>();
        more->next = list;
        list = more;
      }
      EXPECT_TRUE(all_wait(members, 1));
      cairn::sleep_for(300ms);
      while (list->next) list = list->next;
      list->channel.send(1);
    });
    expect_none(members, 1);
    over.wait();
  });
}

TEST_P(GoroutineLeaks, LeavesAloneWhatARootLeadsTo) {
  on_procs(GetParam(), [] {
    cast members;
    std::vector<cairn::root<holder>> kept;  // in malloc memory
    cairn::spawn([&] {
      kept.emplace_back(cairn::make_gc<holder>());
      kept[0]->channel = make_chan<int>();
      cairn::go([&members, c = kept[0]->channel] {
        members.enter();
        c.recv();
      });
    }).get();
    expect_none(members, 1);
    kept[0]->channel.close();
  });
}

TEST_P(GoroutineLeaks, LeavesAloneWhatARunningTimerEnds) {
  on_procs(GetParam(), [] {
    cast members;
    cairn::spawn([&] {
      cairn::go([&members] {  // whose channel is its own
        members.enter();
        cairn::after(1h).recv();
      });
      cairn::go([&members] {
        cairn::ticker t(1h);
        members.enter();
        cairn::select(cairn::on_recv(make_chan<int>()), cairn::on_recv(t.c()));
      });
      cairn::go([&members] {
        const auto c = make_chan<int>();
        cairn::after_func(1h, [c] { c.close(); });
        members.enter();
        c.recv();
      });
      cairn::go([&members] {
        auto [ctx, cancel] = cairn::with_timeout(cairn::background(), 1h);
        members.enter();
        ctx.done().recv();
      });
      cairn::go([&members] {
        members.enter();
        cairn::sleep_for(1h);
      });
    }).get();
    expect_none(members, 5);
  });
}

TEST_P(GoroutineLeaks, FindsWhoWaitsForATimerThatWasStopped) {
  expect_leaks(GetParam(), "chan receive", [](cast& leaked) {
    cairn::go([&leaked] {
      cairn::timer t(1h);
      t.stop();
      leaked.enter();
      t.c().recv();
    });
  });
}

TEST_P(GoroutineLeaks, LeavesAloneWhatACancelFunctionLeadsTo) {
  on_procs(GetParam(), [] {
    cast members;
    auto [parent, cancel] = cairn::with_cancel(cairn::background());
    cairn::spawn([&members, parent = parent] {
      auto [child, unused] = cairn::with_cancel(parent);
      cairn::go([&members, ctx = child] {
        members.enter();
        ctx.done().recv();
      });
    }).get();
    expect_none(members, 1);
    cancel();
    EXPECT_TRUE(eventually([&] { return waiting(members) == 0; }));
  });
}

// The channel and the wait group are locals; who is to end the wait has references to them.
TEST_P(GoroutineLeaks, LeavesAloneWhoseLocalsOthersReferTo) {
  on_procs(GetParam(), [] {
    cast members;
    std::atomic<int> ended{0};
    cairn::gc_ptr<bool> go_on = cairn::make_gc<bool>(false);
    for (int i = 0; i < 10; ++i)
      cairn::go([&members, &ended, &go_on] {
        cairn::sync::wait_group parts;
        chan<int> c = make_chan<int>();
        parts.add(1);
        cairn::go([&parts, &c, &go_on] {
          while (!*go_on) cairn::sleep_for(1ms);
          parts.done();
          c.send(1);
        });
        members.enter();
        parts.wait();
        c.recv();
        ++ended;
      });
    expect_none(members, 10);
    *go_on = true;
    EXPECT_TRUE(eventually([&] { return ended == 10; }));
  });
}

// A reference to a local, for functions in malloc memory: what has come to its end refers to nothing any more. Else it
// would do so from freed memory, and hide from reports of other tests who is on that stack then.
template <class T>
class known {
 public:
  explicit known(T& local) : local_(&local) {}
  known(const known& other) : local_(other.local_) {}
  ~known() { local_ = nullptr; }
  known& operator=(const known&) = delete;
  T* operator->() const { return local_; }

 private:
  T* volatile local_;
};

// References to locals in memory that the collector does not look at: a thread that never was attached, and a
// function in malloc memory that nobody has begun to run. (Not looked for under sanitizers: see sanitizer_exempt.txt.)
TEST_P(GoroutineLeaks, LeavesAloneWhoseLocalsMallocMemoryRefersTo) {
  on_procs(GetParam(), [] {
    cast members;
    std::atomic<bool> go_on{false};
    std::mutex lock;
    std::vector<std::function<void()>> pool;
    std::vector<std::thread> threads;
    for (int i = 0; i < 10; ++i) {
      cairn::go([&members, &threads, &lock, &go_on] {
        cairn::sync::wait_group parts;
        parts.add(1);
        {
          const std::lock_guard held(lock);
          threads.emplace_back([parts = known(parts), &go_on] {
            while (!go_on) std::this_thread::sleep_for(1ms);
            cairn_test::aside([&parts] { parts->done(); });
            cairn_test::clear_stack();  // others get it
          });
        }
        members.enter();
        parts.wait();
      });
      cairn::go([&members, &pool, &lock] {
        chan<std::string> c = make_chan<std::string>();
        {
          const std::lock_guard held(lock);
          const std::array<int, 10> more{};
          pool.emplace_back([c = known(c), more] { c->send(std::to_string(more[0])); });
        }
        members.enter();
        c.recv();
      });
    }
    expect_none(members, 20);
    go_on = true;
    for (const auto& f : pool) f();
    EXPECT_TRUE(eventually([&] { return waiting(members) == 0; }));
    cairn::blocking([&threads] {
      for (std::thread& t : threads) t.join();
    });
  });
}

// Who is inside blocking() has taken its work out of a queue in malloc memory, and holds it where only its own frames
// lead to.
TEST_P(GoroutineLeaks, LeavesAloneWhoseLocalsAreKnownInsideBlocking) {
  on_procs(GetParam(), [] {
    cast members;
    std::atomic<bool> go_on{false};
    std::atomic<cairn::sync::wait_group*> given{nullptr};
    cairn::go([&members, &given] {
      cairn::sync::wait_group parts;
      parts.add(1);
      given = &parts;
      members.enter();
      parts.wait();
    });
    cairn::sync::wait_group over;
    over.go([&given, &go_on] {
      cairn::sync::wait_group* const taken = cairn::blocking([&given, &go_on] {
        cairn::sync::wait_group* mine = nullptr;
        while ((mine = given.exchange(nullptr)) == nullptr) std::this_thread::sleep_for(1ms);
        volatile auto kept = reinterpret_cast<std::uintptr_t>(mine);
        mine = nullptr;
        while (!go_on) std::this_thread::sleep_for(1ms);
        return reinterpret_cast<cairn::sync::wait_group*>(kept);
      });
      taken->done();
    });
    EXPECT_TRUE(eventually([&] { return members.size() == 1 && given == nullptr; }));
    expect_none(members, 1);
    go_on = true;
    over.wait();
  });
}

TEST_P(GoroutineLeaks, LeavesAloneWhatThreadsHave) {
  on_procs(GetParam(), [] {
    cast members;
    std::atomic<bool> go_on{false};
    std::thread thread([&members, &go_on] {
      const auto c = make_chan<int>();
      cairn::go([&members, c] {
        members.enter();
        c.recv();
      });
      while (!go_on) std::this_thread::sleep_for(1ms);
      c.send(1);
    });
    expect_none(members, 1);
    go_on = true;
    cairn::blocking([&thread] { thread.join(); });
  });
}

TEST_P(GoroutineLeaks, LeavesAloneWhatAWeakReferenceLeadsTo) {
  on_procs(GetParam(), [] {
    cast members;
    cairn::gc_weak<holder> weak;
    cairn::spawn([&] {
      const cairn::gc_ptr<holder> h = cairn::make_gc<holder>();
      h->channel = make_chan<int>();
      weak = cairn::gc_weak<holder>(h);
      cairn::go([&members, h] {
        members.enter();
        h->channel.recv();
        cairn::keep_alive(h);
      });
    }).get();
    expect_none(members, 1);
    if (const cairn::gc_ptr<holder> h = weak.lock()) h->channel.close();
    EXPECT_TRUE(eventually([&] { return waiting(members) == 0; }));
  });
}

// ---- what comes to life at its end ---------------------------------------------------------------------------------

struct closer {
  chan<int> channel;
  explicit closer(chan<int> c) : channel(c) {}
  ~closer() { channel.close(); }
  closer(const closer&) = delete;
  closer& operator=(const closer&) = delete;
};

// Garbage that will close the channel, made just before each report: nobody may be accused, whether the
// destructor or finalizer runs before, during or after it. Unless he is right in the end: a stale word on the
// stack of who waits may keep the very object whose end would wake him. That comes with the number of pairs, so
// there are a few for each report however long it takes.
TEST_P(GoroutineLeaks, LeavesAloneWhatAnObjectsEndWillWake) {
  on_procs(GetParam(), [] {
    cast members;
    std::atomic<bool> stop{false};
    std::atomic<int> made{0}, wanted{0};
    cairn::sync::wait_group over;
    over.go([&] {
      for (; !stop; cairn::sleep_for(200us)) {
        if (made >= wanted) continue;
        cairn::spawn([&] {
          cairn_test::aside([&] {
            const auto a = make_chan<int>(), b = make_chan<int>();
            for (const chan<int>& c : {a, b})
              cairn::go([&members, c] {
                members.enter();
                c.recv();
              });
            cairn::make_gc<closer>(a);
            const cairn::gc_ptr<holder> h = cairn::make_gc<holder>();
            h->channel = b;
            cairn::set_finalizer(h, [](cairn::gc_ptr<holder> last) { last->channel.close(); });
          });
          cairn_test::clear_stack();  // others will wait on it
          ++made;
        }).get();
      }
    });
    std::set<std::uint64_t> accused;
    for (std::size_t i = 0; i < test_count(30, 5); ++i) {
      wanted = made + 4;
      for (const goroutine_info& g : leaks()) accused.insert(g.id);
    }
    EXPECT_LE(accused.size(), 4u);
    EXPECT_TRUE(eventually([&] { return made > 3; }));
    stop = true;
    over.wait();
    EXPECT_TRUE(eventually([&] {
      cairn::gc::collect();
      return waiting(members) <= 4;  // what a stale word keeps
    }));
    for (const goroutine_info& g : cairn::goroutines()) accused.erase(g.state == "waiting" ? g.id : 0);
    EXPECT_EQ(accused.size(), 0u) << "were woken";
  });
}

TEST_P(GoroutineLeaks, KeepsTheObjectsOfTheLeaked) {
  on_procs(GetParam(), [] {
    static std::atomic<int> ended, round;  // those of earlier rounds were dropped, and end some time
    ended = 0;
    ++round;
    struct mortal {
      chan<int> channel = make_chan<int>();
      int of = round;
      ~mortal() { ended += of == round ? 1 : 0; }
    };
    cast leaked;
    for (std::size_t i = 0; i < k_copies; ++i)
      cairn::spawn([&] {
        cairn::go([&leaked, p = cairn::make_gc<mortal>()] {
          leaked.enter();
          p->channel.recv();
          cairn::keep_alive(p);
        });
      }).get();
    ASSERT_TRUE(all_wait(leaked, k_copies));
    for (int i = 0; i < 3; ++i) {
      EXPECT_GE(count(leaks(), leaked), k_enough);
      cairn_test::churn();
    }
    EXPECT_EQ(ended, 0);
    EXPECT_EQ(waiting(leaked), k_copies);
  });
}

TEST_P(GoroutineLeaks, AreToldByGoroutinesToo) {
  on_procs(GetParam(), [] {
    cast leaked;
    for (std::size_t i = 0; i < k_copies; ++i)
      cairn::spawn([&] {
        cairn::go([&leaked] {
          leaked.enter();
          make_chan<int>().recv();
        });
      }).get();
    ASSERT_TRUE(all_wait(leaked, k_copies));
    const auto told = [&] {
      std::size_t n = 0;
      for (const goroutine_info& g : cairn::goroutines()) n += g.leaked ? 1 : 0;
      return n;
    };
    EXPECT_EQ(told(), 0u);
    const std::size_t found = leaks().size();
    EXPECT_EQ(told(), found);
  });
}

// ---- beside a program ----------------------------------------------------------------------------------------------

TEST_P(GoroutineLeaks, AccusesNobodyInAStorm) {
  on_procs(GetParam(), [] {
    std::atomic<bool> stop{false};
    cairn::sync::wait_group over;
    cairn::sync::mutex mutex;
    // Pairs whose channels lie on stacks, in objects, and in each other's messages.
    for (int pair = 0; pair < 8; ++pair)
      over.go([&] {
        while (!stop) {
          chan<chan<int>> calls = make_chan<chan<int>>();
          cairn::sync::wait_group both;
          both.go([calls] {
            for (const chan<int>& answer : calls) answer.send(1);
          });
          both.go([&calls, &mutex] {
            for (int i = 0; i < 20; ++i) {
              const auto answer = make_chan<int>();
              calls.send(answer);
              const std::lock_guard held(mutex);
              cairn::select(cairn::on_recv(answer), cairn::on_recv(chan<int>()));
            }
            calls.close();
          });
          both.wait();
          cairn::spawn([] { return cairn::yield(); }).get();
        }
      });
    // Objects with a lock, found through a static word only.
    static cairn::gc_atomic<shared> current;
    for (int i = 0; i < 4; ++i)
      over.go([&] {
        while (!stop) {
          current.store(cairn::make_gc<shared>());
          for (int k = 0; k < 50; ++k) {
            const cairn::gc_ptr<shared> s = current.load();
            const std::lock_guard held(s->mutex);
            if (k % 10 == 0) cairn::yield();
          }
        }
      });
    for (std::size_t i = 0; i < test_count(40, 10); ++i) {
      const std::vector<goroutine_info> found = cairn::goroutine_leaks();
      ASSERT_EQ(found.size(), 0u) << found[0].wait_reason << " " << found[0].id;
    }
    stop = true;
    over.wait();
  });
}

TEST_P(GoroutineLeaks, MayBeAskedForByManyAtOnce) {
  on_procs(GetParam(), [] {
    cast leaked;
    for (std::size_t i = 0; i < k_copies; ++i)
      cairn::spawn([&] {
        cairn::go([&leaked] {
          leaked.enter();
          make_chan<int>().recv();
        });
      }).get();
    ASSERT_TRUE(all_wait(leaked, k_copies));
    std::atomic<std::size_t> good{0};
    const auto ask = [&] {
      for (int i = 0; i < 5; ++i) {
        const std::vector<goroutine_info> found = leaks();
        // Others that are just looking at those that they have found may hide them.
        if (found.size() == count(found, leaked)) ++good;
      }
    };
    std::thread thread(ask);
    cairn::sync::wait_group all;
    for (int i = 0; i < 3; ++i) all.go(ask);
    all.wait();
    cairn::blocking([&thread] { thread.join(); });
    EXPECT_EQ(good, 20u);
    EXPECT_GE(leaks().size(), k_enough);
  });
}

TEST(GoroutineLeaksOutsideOfRun, ThrowsInANoGcScope) {
  const cairn::gc::no_gc_scope scope;
  EXPECT_THROW(cairn::goroutine_leaks(), std::logic_error);
}

TEST(GoroutineLeaksOutsideOfRun, WorksFromAThread) {
  const std::vector<goroutine_info> found = cairn::goroutine_leaks();
  EXPECT_TRUE(found.empty());
}

}  // namespace
