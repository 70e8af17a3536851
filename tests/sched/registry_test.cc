// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/registry.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <set>

#include "cairn/run.h"
#include "tests/scale.h"
#include "tests/sched/support.h"

namespace cairn::sched {
namespace {

TEST(Registry, AThreadAttachesOnceAndDetachesWhenItEnds) {
  self();
  m* seen = nullptr;
  std::thread([&] {
    EXPECT_EQ(current(), nullptr);
    seen = &self();
    EXPECT_EQ(&self(), seen);
    EXPECT_EQ(current(), seen);
    EXPECT_TRUE(is_attached(seen));
  }).join();
  EXPECT_FALSE(is_attached(seen));
}

TEST(Registry, TheBoundsHoldTheStackOfTheThread) {
  auto check = [] {
    int local = 0;
    m& me = self();
    EXPECT_LT(me.stack_low, static_cast<void*>(&local));
    EXPECT_GT(me.stack_high, static_cast<void*>(&local));
    EXPECT_EQ(me.tid, gettid());
    EXPECT_TRUE(pthread_equal(me.thread, pthread_self()));
    EXPECT_NE(me.thread_pointer, nullptr);
  };
  check();
  std::thread(check).join();
}

TEST(Registry, AttachThreadDetachesOnlyWhatItAttached) {
  std::thread([] {
    {
      attach_thread outer;
      m* me = current();
      ASSERT_NE(me, nullptr);
      { attach_thread inner; }
      EXPECT_EQ(current(), me);
    }
    EXPECT_EQ(current(), nullptr);
    self();
    { attach_thread late; }
    EXPECT_NE(current(), nullptr);
  }).join();
}

TEST(Registry, TenThousandShortThreadsUseFewRecords) {
  self();
  std::set<m*> records;
  std::size_t left = 0;
  for (int i = 0; i < 10'000; ++i) {
    m* p = nullptr;
    pid_t tid = 0;
    std::thread([&] { p = &self(), tid = gettid(); }).join();
    records.insert(p);
    left += records_of(tid);
  }
  EXPECT_LE(records.size(), 20u);  // idle threads of other tests may give theirs back
  EXPECT_EQ(left, 0u);
}

// A thread_local destructor runs before the key that detaches.
struct attaches_at_end {
  bool* was_attached;
  ~attaches_at_end() { *was_attached = current() != nullptr; }
};

TEST(Registry, ThreadLocalDestructorsRunAttached) {
  bool was_attached = false;
  std::thread([&] {
    thread_local attaches_at_end at_end{&was_attached};
    (void)at_end;
    self();
  }).join();
  EXPECT_TRUE(was_attached);
}

TEST(Registry, AKeyDestructorMayAttachAgain) {
  self();
  static std::atomic<int> rounds;
  rounds = 0;
  pthread_key_t key;
  pid_t tid = 0;
  ASSERT_EQ(pthread_key_create(&key,
                               [](void* p) {
                                 self();
                                 if (++rounds == 1) pthread_setspecific(*static_cast<pthread_key_t*>(p), p);
                               }),
            0);
  std::thread([&] {
    self();
    tid = gettid();
    pthread_setspecific(key, &key);
  }).join();
  EXPECT_EQ(rounds, 2);
  EXPECT_EQ(records_of(tid), 0u);
  pthread_key_delete(key);
}

// Attached in the last round of destructors, the thread dies without detaching: the next stop finds that out.
TEST(Registry, AThreadThatDiesAttachedIsBuriedByTheNextStop) {
  if (k_signals_deferred) GTEST_SKIP() << "ThreadSanitizer has forgotten the thread by then";
  self();
  static std::atomic<int> rounds;
  rounds = 0;
  pthread_key_t key;
  pid_t tid = 0;
  ASSERT_EQ(pthread_key_create(&key,
                               [](void* p) {
                                 ++rounds;
                                 pthread_setspecific(*static_cast<pthread_key_t*>(p), p);
                                 self();
                               }),
            0);
  std::thread([&] {
    tid = gettid();
    pthread_setspecific(key, &key);
  }).join();
  EXPECT_EQ(rounds, PTHREAD_DESTRUCTOR_ITERATIONS);
  EXPECT_LE(records_of(tid), 1u);
  { world_stopped stopped = stop_the_world("test"); }
  EXPECT_EQ(records_of(tid), 0u);
  pthread_key_delete(key);
}

TEST(Registry, AttachingUnblocksTheSignalAndDetachingBlocksItAgain) {
  self();
  sigset_t urgent;
  sigemptyset(&urgent);
  sigaddset(&urgent, SIGURG);
  auto is_blocked = [] {
    sigset_t now;
    pthread_sigmask(SIG_BLOCK, nullptr, &now);
    return sigismember(&now, SIGURG) == 1;
  };
  std::thread([&] {
    pthread_sigmask(SIG_BLOCK, &urgent, nullptr);
    {
      attach_thread here;
      EXPECT_FALSE(is_blocked());
    }
    EXPECT_TRUE(is_blocked());
  }).join();
}

TEST(Registry, ThreadsAttachAndDetachDuringStops) {
  delays some(50);
  crowd threads;
  for (int i = 0; i < 6; ++i) {
    threads.add([](const std::atomic<bool>& stop) {
      while (!stop.load()) {
        attach_thread here;
        ASSERT_NE(current(), nullptr);
      }
    });
  }
  for (std::size_t i = 0; i < test_count(300); ++i) {
    world_stopped stopped = stop_the_world("test");
    m* seen[20] = {};  // no malloc while others are stopped
    std::size_t n = 0;
    for_each_m(stopped, [&](m& p) {
      ASSERT_LT(n, std::size(seen));
      EXPECT_EQ(std::find(seen, seen + n, &p), seen + n);
      seen[n++] = &p;
    });
  }
}

int run_in_child(void (*body)()) {
  pid_t child = fork();
  if (child == 0) {
    body();
    _exit(7);
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return status;
}

TEST(Fork, TheChildMayExit) {
  self();
  int status = run_in_child([] {});
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

TEST(Fork, TheChildMayNotUseTheLibrary) {
  self();
  int pipe_ends[2];
  ASSERT_EQ(pipe(pipe_ends), 0);
  static int error_end;
  error_end = pipe_ends[1];
  int status = run_in_child([] {
    dup2(error_end, STDERR_FILENO);
    EXPECT_TRUE(in_forked_child());
    self();
  });
  close(pipe_ends[1]);
  char text[300] = {};
  EXPECT_GT(read(pipe_ends[0], text, sizeof text - 1), 0);
  close(pipe_ends[0]);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
  EXPECT_NE(std::string(text).find("in the child of a fork()"), std::string::npos) << text;
  EXPECT_FALSE(in_forked_child());
}

}  // namespace
}  // namespace cairn::sched
