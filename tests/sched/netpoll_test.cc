// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/netpoll.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <random>
#include <set>
#include <string>
#include <system_error>
#include <thread>

#include "sched/futex.h"
#include "tests/heap/fake_os.h"
#include "tests/scale.h"
#include "tests/sched/support.h"

namespace cairn::sched {
namespace {

class descriptor {
 public:
  explicit descriptor(int fd = -1) : fd_(fd) {}
  ~descriptor() { close(); }
  descriptor(const descriptor&) = delete;
  descriptor& operator=(const descriptor&) = delete;
  void set(int fd) { fd_ = fd; }
  void close() {
    if (fd_ != -1) ::close(fd_);
    fd_ = -1;
  }
  int get() const { return fd_; }
  void write_one() const { EXPECT_EQ(::write(fd_, "x", 1), 1); }
  void read_one() const {
    char c;
    EXPECT_EQ(::read(fd_, &c, 1), 1);
  }

 private:
  int fd_;
};

// What is written to `in` is read from `out`.
struct pipe_ends {
  pipe_ends() {
    int ends[2] = {-1, -1};
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    out.set(ends[0]);
    in.set(ends[1]);
  }
  void fill() const {
    char block[4096] = {};
    while (::write(in.get(), block, sizeof block) > 0) {
    }
  }
  descriptor out, in;
};

struct socket_pair {
  socket_pair() {
    int ends[2] = {-1, -1};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    a.set(ends[0]);
    b.set(ends[1]);
  }
  descriptor a, b;
};

struct waiting : poll_waiter {
  explicit waiting(const descriptor& d, bool write = false) : waiting(d.get(), write) {}
  explicit waiting(int number, bool write = false) {
    fd = number;
    for_write = write;
    wake = [](poll_waiter& w, int e) {
      auto& self = static_cast<waiting&>(w);
      self.error = e;
      self.woken.fetch_add(1, std::memory_order_release);
    };
  }
  std::atomic<int> woken{0};
  int error = -1;
};

// As who blocks does.
int block(netpoll& poller, std::int64_t deadline) {
  if (!poller.try_claim()) return -1;
  poll_events events;
  poller.wait(events, deadline);
  poller.release();
  return poller.dispatch(events);
}

std::int64_t in_ms(std::int64_t ms) { return now_ns() + ms * 1'000'000; }

TEST(Netpoll, WakesWhoWaitsForWhatIsReadyAlready) {
  netpoll poller;
  pipe_ends p;
  p.in.write_one();
  waiting reader(p.out), writer(p.in, true);
  ASSERT_EQ(poller.add(reader), 0);
  ASSERT_EQ(poller.add(writer), 0);
  EXPECT_EQ(poller.waiters(), 2u);
  EXPECT_EQ(poller.poll(), 2);
  EXPECT_EQ(reader.woken, 1);
  EXPECT_EQ(reader.error, 0);
  EXPECT_EQ(writer.woken, 1);
  EXPECT_EQ(poller.waiters(), 0u);
  EXPECT_FALSE(poller.remove(reader)) << "was woken";
}

// Who looks whether anybody waits must not miss one that is about to be made runnable.
TEST(Netpoll, AWaiterIsCountedUntilItsWakeIsOver) {
  struct counted : waiting {
    using waiting::waiting;
    const netpoll* poller = nullptr;
    std::size_t seen = 0;
  };
  netpoll poller;
  pipe_ends p;
  counted reader(p.out);
  reader.poller = &poller;
  reader.wake = [](poll_waiter& w, int) {
    auto& self = static_cast<counted&>(w);
    self.seen = self.poller->waiters();
  };
  ASSERT_EQ(poller.add(reader), 0);
  p.in.write_one();
  EXPECT_EQ(poller.poll(), 1);
  EXPECT_EQ(reader.seen, 1u);
  EXPECT_EQ(poller.waiters(), 0u);
}

TEST(Netpoll, WakesLaterAndOnce) {
  netpoll poller;
  pipe_ends p;
  waiting reader(p.out);
  ASSERT_EQ(poller.add(reader), 0);
  EXPECT_EQ(poller.poll(), 0);
  p.in.write_one();
  EXPECT_EQ(block(poller, in_ms(10'000)), 1);
  EXPECT_EQ(poller.poll(), 0) << "still readable, but nobody waits";
  EXPECT_EQ(reader.woken, 1);
}

TEST(Netpoll, ReadinessIsNotRemembered) {
  netpoll poller;
  pipe_ends p;
  for (int i = 0; i < 3; ++i) {
    waiting reader(p.out);
    ASSERT_EQ(poller.add(reader), 0);
    EXPECT_EQ(poller.poll(), 0);
    p.in.write_one();
    EXPECT_EQ(poller.poll(), 1);
    waiting again(p.out);
    ASSERT_EQ(poller.add(again), 0);
    EXPECT_EQ(poller.poll(), 1) << "not consumed yet";
    p.out.read_one();
  }
}

TEST(Netpoll, BothDirectionsOfOneDescriptorAreApart) {
  netpoll poller;
  socket_pair s;
  waiting reader(s.a), writer(s.a, true);
  ASSERT_EQ(poller.add(reader), 0);
  ASSERT_EQ(poller.add(writer), 0);
  EXPECT_EQ(poller.poll(), 1);
  EXPECT_EQ(writer.woken, 1);
  EXPECT_EQ(reader.woken, 0);
  EXPECT_EQ(poller.poll(), 0);
  s.b.write_one();
  EXPECT_EQ(poller.poll(), 1) << "the reader was armed again";
  EXPECT_EQ(reader.woken, 1);
}

TEST(Netpoll, AllWaitersOfADirectionAreWoken) {
  netpoll poller;
  pipe_ends p;
  waiting a(p.out), b(p.out), c(p.out);
  ASSERT_EQ(poller.add(a), 0);
  ASSERT_EQ(poller.add(b), 0);
  ASSERT_EQ(poller.add(c), 0);
  EXPECT_TRUE(poller.remove(b));
  EXPECT_FALSE(poller.remove(b));
  p.in.write_one();
  EXPECT_EQ(poller.poll(), 2);
  EXPECT_EQ(a.woken, 1);
  EXPECT_EQ(b.woken, 0);
  EXPECT_EQ(c.woken, 1);
}

TEST(Netpoll, TheOtherEndsCloseIsReadiness) {
  netpoll poller;
  pipe_ends p, q;
  q.fill();
  waiting reader(p.out), writer(q.in, true);
  ASSERT_EQ(poller.add(reader), 0);
  ASSERT_EQ(poller.add(writer), 0);
  EXPECT_EQ(poller.poll(), 0);
  p.in.close();
  q.out.close();
  EXPECT_EQ(poller.poll(), 2);
  EXPECT_EQ(reader.error, 0);
  EXPECT_EQ(writer.error, 0);
}

TEST(Netpoll, AFullPipeIsWritableOnceItIsRead) {
  netpoll poller;
  pipe_ends p;
  p.fill();
  waiting writer(p.in, true);
  ASSERT_EQ(poller.add(writer), 0);
  EXPECT_EQ(poller.poll(), 0);
  char block_of[65536];
  while (::read(p.out.get(), block_of, sizeof block_of) > 0) {
  }
  EXPECT_EQ(poller.poll(), 1);
}

TEST(Netpoll, EventfdsWork) {
  netpoll poller;
  descriptor e(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  waiting reader(e);
  ASSERT_EQ(poller.add(reader), 0);
  EXPECT_EQ(poller.poll(), 0);
  std::uint64_t one = 1;
  ASSERT_EQ(::write(e.get(), &one, sizeof one), 8);
  EXPECT_EQ(poller.poll(), 1);
}

TEST(Netpoll, RegularFilesAreAlwaysReadyAndBadDescriptorsAreRefused) {
  netpoll poller;
  descriptor file(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC)), folder(::open("/", O_RDONLY | O_CLOEXEC));
  ASSERT_NE(file.get(), -1);
  waiting of_file(file), of_folder(folder), negative(-1), unused(987'654);
  EXPECT_EQ(poller.add(of_file), netpoll::k_always_ready);
  EXPECT_EQ(poller.add(of_folder), netpoll::k_always_ready);
  EXPECT_EQ(poller.add(negative), EBADF);
  EXPECT_EQ(poller.add(unused), EBADF);
  EXPECT_EQ(poller.waiters(), 0u);
  EXPECT_FALSE(poller.remove(of_file));
}

TEST(Netpoll, ADescriptorClosedMeanwhileIsFound) {
  netpoll poller;
  pipe_ends p, stays;
  waiting reader(p.out), second(p.out), other(stays.out);
  ASSERT_EQ(poller.add(other), 0);
  ASSERT_EQ(poller.add(reader), 0);
  ASSERT_EQ(poller.add(second), 0);
  EXPECT_EQ(poller.check_closed(), 0);
  p.out.close();
  EXPECT_EQ(poller.poll(), 0);
  EXPECT_EQ(poller.check_closed(), 2);
  EXPECT_EQ(reader.error, EBADF);
  EXPECT_EQ(second.error, EBADF);
  EXPECT_EQ(poller.waiters(), 1u);
  stays.in.write_one();
  EXPECT_EQ(poller.poll(), 1) << "armed again by the check";
}

TEST(Netpoll, ChecksAFewAtATimeAndComesToAll) {
  netpoll poller;
  std::vector<std::unique_ptr<pipe_ends>> pipes;
  std::vector<std::unique_ptr<waiting>> readers;
  for (int i = 0; i < 3 * netpoll::k_checked_at_once; ++i) {
    pipes.push_back(std::make_unique<pipe_ends>());
    readers.push_back(std::make_unique<waiting>(pipes.back()->out));
    ASSERT_EQ(poller.add(*readers.back()), 0);
  }
  pipes[netpoll::k_checked_at_once * 5 / 2]->out.close();
  EXPECT_EQ(poller.check_closed(), 0);
  EXPECT_EQ(poller.check_closed(), 0);
  EXPECT_EQ(poller.check_closed(), 1);
  EXPECT_EQ(poller.check_closed(), 0);
  for (auto& r : readers) poller.remove(*r);
  EXPECT_EQ(poller.check_closed(), 0);
  EXPECT_EQ(poller.waiters(), 0u);
}

// Two eventfds have the same inode: only the kernel knows that they are not the same file.
TEST(Netpoll, ADescriptorReplacedMeanwhileIsFound) {
  netpoll poller;
  const int number = ::eventfd(0, EFD_CLOEXEC);
  waiting reader(number);
  ASSERT_EQ(poller.add(reader), 0);
  ::close(number);
  descriptor reused(::eventfd(0, EFD_CLOEXEC));
  ASSERT_EQ(reused.get(), number);
  EXPECT_EQ(poller.check_closed(), 1);
  EXPECT_EQ(reader.error, EBADF);
}

TEST(Netpoll, AWaiterForTheNewFileWakesThoseOfTheOldOne) {
  netpoll poller;
  const int number = ::eventfd(0, EFD_CLOEXEC);
  waiting old_reader(number);
  ASSERT_EQ(poller.add(old_reader), 0);
  ::close(number);
  descriptor reused(::eventfd(0, EFD_CLOEXEC));
  ASSERT_EQ(reused.get(), number);
  waiting reader(number);
  ASSERT_EQ(poller.add(reader), 0);
  EXPECT_EQ(old_reader.woken, 1);
  EXPECT_EQ(old_reader.error, EBADF);
  EXPECT_EQ(poller.poll(), 0);
  std::uint64_t one = 1;
  ASSERT_EQ(::write(reused.get(), &one, sizeof one), 8);
  EXPECT_EQ(poller.poll(), 1);
  EXPECT_EQ(reader.error, 0);
}

// The old file lives on in a duplicate, and so does its registration, under a number that is another file's now.
TEST(Netpoll, EventsOfADuplicateDoNotWakeWhoWaitsForTheNewFile) {
  netpoll poller;
  pipe_ends p;
  const int number = p.out.get();
  waiting old_reader(number);
  ASSERT_EQ(poller.add(old_reader), 0);
  descriptor duplicate(::dup(number));
  pipe_ends q;
  ASSERT_EQ(::dup2(q.out.get(), number), number);
  waiting reader(number);
  ASSERT_EQ(poller.add(reader), 0);
  EXPECT_EQ(old_reader.error, EBADF);
  p.in.write_one();
  EXPECT_EQ(poller.poll(), 0);
  EXPECT_EQ(reader.woken, 0);
  q.in.write_one();
  EXPECT_EQ(poller.poll(), 1);
}

TEST(Netpoll, AnEventThatWasFetchedBeforeTheLastArmingIsVoid) {
  netpoll poller;
  pipe_ends p;
  waiting first(p.out), second(p.out);
  ASSERT_EQ(poller.add(first), 0);
  p.in.write_one();
  poll_events fetched;
  poller.wait(fetched, 0);
  ASSERT_EQ(fetched.count, 1);
  EXPECT_TRUE(poller.remove(first));
  p.out.read_one();
  ASSERT_EQ(poller.add(second), 0);
  EXPECT_EQ(poller.dispatch(fetched), 0) << "not readable any more";
  EXPECT_EQ(second.woken, 0);
  p.in.write_one();
  EXPECT_EQ(poller.poll(), 1);
}

TEST(Netpoll, TheDeadlineEndsTheWait) {
  netpoll poller;
  pipe_ends p;
  waiting reader(p.out);
  ASSERT_EQ(poller.add(reader), 0);
  const std::int64_t before = now_ns();
  EXPECT_EQ(block(poller, before + 20'500'000), 0);
  EXPECT_GE(now_ns() - before, 20'500'000);
  EXPECT_EQ(block(poller, 1), 0) << "long past: does not block";
  EXPECT_TRUE(poller.remove(reader));
}

TEST(Netpoll, OneThreadMayBlockAtATime) {
  netpoll poller;
  EXPECT_TRUE(poller.try_claim());
  EXPECT_FALSE(poller.try_claim());
  EXPECT_TRUE(poller.is_claimed());
  poller.release();
  EXPECT_TRUE(poller.try_claim());
}

TEST(Netpoll, InterruptEndsTheWaitThatBlocksOrTheNextOne) {
  netpoll poller;
  ASSERT_EQ(poller.open(), 0);
  ASSERT_EQ(poller.open(), 0);
  poller.interrupt();
  poller.interrupt();
  EXPECT_EQ(poller.poll(), 0) << "does not take it from who blocks";
  EXPECT_EQ(block(poller, k_forever), 0);
  const std::int64_t before = now_ns();
  EXPECT_EQ(block(poller, before + 10'000'000), 0);
  EXPECT_GE(now_ns() - before, 10'000'000) << "two interrupts are as one";
  std::thread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    poller.interrupt();
  });
  EXPECT_EQ(block(poller, k_forever), 0);
  later.join();
}

TEST(Netpoll, NothingBlocksBeforeItIsOpen) {
  netpoll poller;
  poller.interrupt();
  EXPECT_EQ(block(poller, k_forever), 0);
  EXPECT_EQ(poller.poll(), 0);
  EXPECT_EQ(poller.check_closed(), 0);
}

TEST(Netpoll, NoInterruptIsLost) {
  delays random_delays(200);
  netpoll poller;
  ASSERT_EQ(poller.open(), 0);
  const int rounds = static_cast<int>(test_count(5000, 500));
  std::atomic<int> asked{0}, seen{0};
  std::thread sleeper([&] {
    while (seen.load() < rounds) {
      block(poller, k_forever);
      seen.store(asked.load());
    }
  });
  for (int i = 1; i <= rounds; ++i) {
    asked.store(i);
    poller.interrupt();
    ASSERT_TRUE(eventually([&] { return i % 64 != 0 || seen.load() >= i; })) << i;
  }
  EXPECT_TRUE(eventually([&] { return seen.load() >= rounds; }));
  sleeper.join();
}

// Those of epoll and eventfd. By what they are: other threads open files when they like.
std::set<int> polling_descriptors() {
  std::set<int> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code failed;
    const std::string what = std::filesystem::read_symlink(entry.path(), failed).string();
    if (what == "anon_inode:[eventpoll]" || what == "anon_inode:[eventfd]")
      found.insert(std::stoi(entry.path().filename().string()));
  }
  return found;
}

TEST(Netpoll, DescriptorsOfItsOwnAreClosedOnExecAndErrnoIsKept) {
  netpoll poller;
  const std::set<int> before = polling_descriptors();
  ASSERT_EQ(poller.open(), 0);
  int own = 0;
  for (int fd : polling_descriptors()) {
    if (before.count(fd) != 0) continue;
    ++own;
    EXPECT_EQ(::fcntl(fd, F_GETFD), FD_CLOEXEC);
  }
  EXPECT_EQ(own, 2);
  errno = 4711;
  waiting bad(987'654);
  poller.add(bad);
  poller.interrupt();
  block(poller, k_forever);
  EXPECT_EQ(errno, 4711);
}

TEST(Netpoll, WithoutMemoryTheWaiterIsRefused) {
  heap::fake_os os;
  netpoll poller;
  pipe_ends p;
  waiting reader(p.out);
  os.fail_kind(heap::fake_os::k_map);
  EXPECT_EQ(poller.add(reader), ENOMEM);
  EXPECT_EQ(poller.waiters(), 0u);
  os.fail_kind(heap::fake_os::k_map, false);
  p.in.write_one();
  EXPECT_EQ(poller.add(reader), 0);
  EXPECT_EQ(poller.poll(), 1);
}

TEST(Netpoll, LargeDescriptorNumbersWork) {
  netpoll poller;
  pipe_ends p, q;
  waiting first(p.out);
  ASSERT_EQ(poller.add(first), 0);
  descriptor large(::fcntl(q.out.get(), F_DUPFD_CLOEXEC, 900));
  ASSERT_GE(large.get(), 900);
  waiting reader(large);
  ASSERT_EQ(poller.add(reader), 0);
  p.in.write_one();
  q.in.write_one();
  EXPECT_EQ(poller.poll(), 2);
}

// Waiters come and go on shared pipes from several threads, while one thread polls and one checks and closes: each
// waiter is woken once or removed once, and its memory is its owner's afterwards.
TEST(Netpoll, SurvivesAStorm) {
  delays random_delays(50);
  netpoll poller;
  ASSERT_EQ(poller.open(), 0);
  constexpr unsigned k_pipes = 4;
  pipe_ends pipes[k_pipes];
  std::atomic<long> woken{0}, removed{0};
  crowd threads;
  threads.add([&](const std::atomic<bool>& stop) {
    while (!stop.load()) EXPECT_GE(block(poller, in_ms(1)), 0);
  });
  threads.add([&](const std::atomic<bool>& stop) {
    std::mt19937 random(7);
    while (!stop.load()) {
      EXPECT_EQ(poller.check_closed(), 0);
      const pipe_ends& p = pipes[random() % k_pipes];
      char c = 0;
      [[maybe_unused]] ssize_t n = random() % 2 == 0 ? ::write(p.in.get(), &c, 1) : ::read(p.out.get(), &c, 1);
    }
  });
  for (unsigned n = 0; n < 3; ++n) {
    threads.add([&, n](const std::atomic<bool>& stop) {
      std::mt19937 random(n);
      while (!stop.load()) {
        const pipe_ends& p = pipes[random() % k_pipes];
        const bool write = random() % 4 == 0;
        waiting w(write ? p.in : p.out, write);
        ASSERT_EQ(poller.add(w), 0);
        for (unsigned i = random() % 100; i != 0 && w.woken.load(std::memory_order_acquire) == 0; --i)
          std::this_thread::yield();
        const bool was_waiting = poller.remove(w);
        EXPECT_EQ(w.woken.load(), was_waiting ? 0 : 1);
        if (!was_waiting) {
          EXPECT_EQ(w.error, 0);
        }
        (was_waiting ? removed : woken).fetch_add(1);
      }
    });
  }
  std::this_thread::sleep_for(test_seconds(1));
  threads.end();
  EXPECT_EQ(poller.waiters(), 0u);
  EXPECT_GT(woken.load(), 0);
  EXPECT_GT(removed.load(), 0);
}

// Nobody waits for ever for a descriptor that was closed, whatever else happens to its number.
TEST(Netpoll, DescriptorsThatAreClosedAndReusedInAStormWakeEverybody) {
  netpoll poller;
  ASSERT_EQ(poller.open(), 0);
  std::atomic<int> done{0};
  const int rounds = static_cast<int>(test_count(1000, 100));
  crowd threads;
  threads.add([&](const std::atomic<bool>& stop) {
    while (!stop.load()) block(poller, in_ms(1));
  });
  threads.add([&](const std::atomic<bool>& stop) {
    while (!stop.load()) {
      poller.check_closed();
      std::this_thread::yield();
    }
  });
  for (unsigned n = 0; n < 2; ++n) {
    threads.add([&, n](const std::atomic<bool>&) {
      std::mt19937 random(n);
      for (int i = 0; i < rounds; ++i) {
        pipe_ends p;
        waiting w(p.out);
        EXPECT_EQ(poller.add(w), 0);
        const bool closed = random() % 2 == 0;
        if (closed) {
          p.out.close();
        } else {
          p.in.write_one();
        }
        EXPECT_TRUE(eventually([&] { return w.woken.load(std::memory_order_acquire) == 1; }));
        EXPECT_EQ(w.error, closed ? EBADF : 0);
        EXPECT_FALSE(poller.remove(w));
      }
      done.fetch_add(1);
    });
  }
  EXPECT_TRUE(eventually([&] { return done.load() == 2; }));
  threads.end();
  EXPECT_EQ(poller.waiters(), 0u);
}

// A number that was the program's, and is the library's by now.
TEST(Netpoll, ItsOwnDescriptorsAreNobodyElses) {
  netpoll poller;
  pipe_ends p;
  const int numbers[] = {p.out.get(), p.in.get()};
  p.out.close();
  p.in.close();
  ASSERT_EQ(poller.open(), 0);
  for (const int number : numbers) {
    waiting stale(number);
    EXPECT_EQ(poller.add(stale), EBADF);
  }
  EXPECT_EQ(poller.waiters(), 0u);
  poller.interrupt();
  EXPECT_EQ(block(poller, in_ms(60'000)), 0) << "it is interrupted";
}

// Whoever polls would come back at once, again and again.
TEST(NetpollDeathTest, ItsDescriptorMustNotBeClosed) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  EXPECT_DEATH(
      {
        netpoll poller;
        poller.open();
        for (int fd = 3; fd < 64; ++fd) ::close(fd);  // as programs do that become daemons
        poller.poll();
      },
      "somebody has closed descriptor [0-9]+");
}

}  // namespace
}  // namespace cairn::sched
